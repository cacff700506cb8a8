/*
 * Maps from text files and Berkeley DB hash files.  Floor 3: with
 * queue/store.c the only user of db.h.
 */
#include "config.h"

#include "common/io/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <db.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/table.h"
#include "common/io/readfile.h"
#include "common/io/trouble.h"

enum { LINES_TOLD = 10 };

struct entry {
	UT_hash_handle hh;
	struct hb_span key, value; /* in the map's arena */
};

/* What tells one version of a file from the next. */
struct version {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct hb_map {
	enum hb_map_kind kind; /* as configured */
	enum hb_map_syntax syntax;
	char *text_path, *db_path;
	bool loaded, from_db;
	struct version version; /* of what is loaded */
	bool failed; /* this version is of no use: it is not read again */
	struct version failed_version;
	struct hb_arena *arena; /* of a text file */
	struct entry *entries;
	DB *db;
};

struct hb_map *
hb_map_open(const struct hb_mapspec *spec, enum hb_map_syntax syntax)
{
	struct hb_map *m = HB_NEW(struct hb_map);
	size_t n = strlen(spec->arg) + 4;

	m->kind = spec->kind;
	m->syntax = syntax;
	m->text_path = hb_strdup(spec->arg);
	m->db_path = hb_malloc(n);
	snprintf(m->db_path, n, "%s.db", spec->arg);
	return m;
}

static void
unload(struct hb_map *m)
{
	HASH_CLEAR(hh, m->entries);
	hb_arena_free(&m->arena);
	if (m->db != NULL)
		m->db->close(m->db, DB_NOSYNC);
	m->db = NULL;
	m->loaded = false;
}

void
hb_map_close(struct hb_map **m)
{
	if (*m == NULL)
		return;
	unload(*m);
	free((*m)->text_path);
	free((*m)->db_path);
	free(*m);
	*m = NULL;
}

/* 0 or -errno. */
static int
get_version(const char *path, struct version *v)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return -errno;
	*v = (struct version){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

static bool
same_version(const struct version *a, const struct version *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime.tv_sec == b->mtime.tv_sec &&
	    a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static bool
is_newer(const struct version *a, const struct version *b)
{
	if (a->mtime.tv_sec != b->mtime.tv_sec)
		return a->mtime.tv_sec > b->mtime.tv_sec;
	return a->mtime.tv_nsec >= b->mtime.tv_nsec;
}

/* Which file counts now: the text, or its .db when that is there and not
 * older.  -errno when there is neither. */
static int
choose_file(const struct hb_map *m, bool *db, struct version *v)
{
	struct version t = { 0 }, d = { 0 };
	int text = m->kind != HB_MAP_HASH ? get_version(m->text_path, &t)
					  : -ENOENT;
	int hash = m->kind != HB_MAP_TEXT ? get_version(m->db_path, &d)
					  : -ENOENT;
	bool has_text = text == 0, has_db = hash == 0;

	if (!has_text && !has_db)
		return m->kind == HB_MAP_HASH ? hash : text;
	*db = has_db && (!has_text || is_newer(&d, &t));
	*v = *db ? d : t;
	return 0;
}

static void
lower_key(struct hb_span key, struct hb_buf *out)
{
	hb_buf_clear(out);
	for (size_t i = 0; i < key.n; i++) {
		unsigned char c = hb_lower(key.p[i]);

		hb_buf_add(out, hb_span(&c, 1));
	}
}

static struct entry *
find_entry(struct hb_map *m, struct hb_span key)
{
	struct entry *e = NULL;

	HASH_FIND(hh, m->entries, key.p, key.n, e);
	return e;
}

/* The first entry of a key counts; a line that is no entry is told and
 * skipped. */
static void
load_entries(struct hb_map *m, struct hb_span text)
{
	struct hb_buf key = HB_BUF_INIT(0);
	struct hb_maptext mt;
	struct hb_span k, v;
	int64_t bad = 0;
	int r;

	hb_maptext_init(&mt, text, m->syntax);
	while ((r = hb_maptext_next(&mt, &k, &v)) != 0) {
		struct entry *e;

		if (r < 0 || v.n > HB_MAX_MAP_VALUE) {
			if (bad++ < LINES_TOLD)
				HB_LOG(HB_LOG_WARN, HB_EV_MAP,
				    hb_kv_str(HB_K_FILE, m->text_path),
				    hb_kv_int(HB_K_LINE, mt.line),
				    hb_kv_str(HB_K_ERROR, "not an entry"));
			continue;
		}
		lower_key(k, &key);
		if (find_entry(m, hb_buf_span(&key)) != NULL)
			continue;
		e = hb_arena_alloc(m->arena, sizeof(*e));
		e->key = hb_arena_span(m->arena, hb_buf_span(&key));
		e->value = hb_arena_span(m->arena, v);
		HASH_ADD_KEYPTR(hh, m->entries, e->key.p, e->key.n, e);
	}
	if (bad > LINES_TOLD)
		HB_LOG(HB_LOG_WARN, HB_EV_MAP,
		    hb_kv_str(HB_K_FILE, m->text_path),
		    hb_kv_int(HB_K_COUNT, bad),
		    hb_kv_str(HB_K_ERROR, "lines that are no entries"));
	hb_maptext_free(&mt);
	hb_buf_free(&key);
}

/* 0 or -errno; ENODATA for an empty file, which is what a full disk leaves:
 * a file without entries has a comment. */
static int
load_text(struct hb_map *m)
{
	struct hb_buf text = HB_BUF_INIT(0);
	int r = hb_read_file(m->text_path, HB_MAX_MAP_FILE, &text);

	if (r == 0 && text.n == 0)
		r = -ENODATA;
	if (r == 0) {
		unload(m);
		m->arena = hb_arena_new();
		load_entries(m, hb_buf_span(&text));
	}
	hb_buf_free(&text);
	return r;
}

static void
db_silent(const DB_ENV *env, const char *prefix, const char *msg)
{
	(void)env;
	(void)prefix;
	(void)msg;
}

static DB *
open_db(const char *path, u_int32_t flags)
{
	DB *db;

	if (db_create(&db, NULL, 0) != 0)
		return NULL;
	db->set_errcall(db, db_silent);
	if (db->open(db, NULL, path, NULL,
		(flags & DB_CREATE) != 0 ? DB_HASH : DB_UNKNOWN, flags,
		0644) == 0)
		return db;
	db->close(db, DB_NOSYNC);
	return NULL;
}

static int
load_db(struct hb_map *m)
{
	DB *db;

	errno = 0;
	db = open_db(m->db_path, DB_RDONLY);
	if (db == NULL)
		return errno > 0 ? -errno : -EIO;
	unload(m);
	m->db = db;
	return 0;
}

static int
load(struct hb_map *m, bool db, const struct version *v)
{
	int r = db ? load_db(m) : load_text(m);

	m->failed = r == -ENODATA || r == -EFBIG;
	m->failed_version = *v;
	if (r < 0)
		return r;
	m->loaded = true;
	m->from_db = db;
	m->version = *v;
	return 0;
}

/* The operator hears once that the file cannot be read, and once that it can
 * again. */
static void
tell(const struct hb_map *m, int r)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_span what = hb_span_str(m->text_path);

	if (r == 0) {
		hb_trouble_end(HB_EV_MAP, what);
		return;
	}
	hb_buf_addf(&text, "cannot be read: %s%s",
	    r == -ENODATA ? "It is empty" : hb_file_error(r),
	    m->loaded ? "; what it said before stays in force" : "");
	hb_trouble_begin(HB_EV_MAP, what, hb_buf_span(&text));
	hb_buf_free(&text);
}

/* What was read before stays in force when the file can no longer be. */
static int
refresh(struct hb_map *m)
{
	struct version v;
	bool db;
	int r = choose_file(m, &db, &v);

	if (r == 0 && m->loaded && m->from_db == db &&
	    same_version(&v, &m->version)) {
		tell(m, 0);
		return 0;
	}
	if (r == 0 && m->failed && same_version(&v, &m->failed_version))
		return m->loaded ? 0 : HB_E_TEMP;
	if (r == 0)
		r = load(m, db, &v);
	tell(m, r);
	return r == 0 || m->loaded ? 0 : HB_E_TEMP;
}

/* sendmail's newaliases counts the NUL at the end of keys and values. */
static int
db_get(struct hb_map *m, struct hb_span key, struct hb_buf *value)
{
	struct hb_buf k = HB_BUF_INIT(0);
	DBT dk, dv;
	int r = DB_NOTFOUND;

	hb_buf_add(&k, key);
	hb_buf_add(&k, hb_span("", 1));
	for (u_int32_t nul = 0; nul < 2 && r == DB_NOTFOUND; nul++) {
		memset(&dk, 0, sizeof(dk));
		memset(&dv, 0, sizeof(dv));
		dk.data = k.p;
		dk.size = (u_int32_t)key.n + nul;
		r = m->db->get(m->db, NULL, &dk, &dv, 0);
	}
	hb_buf_free(&k);
	if (r == DB_NOTFOUND)
		return HB_E_NOTFOUND;
	if (r != 0 || dv.size > HB_MAX_MAP_VALUE)
		return HB_E_TEMP;
	if (dv.size > 0 && ((const char *)dv.data)[dv.size - 1] == '\0')
		dv.size--;
	return hb_buf_put(value, hb_span(dv.data, dv.size));
}

int
hb_map_get(struct hb_map *m, struct hb_span key, struct hb_buf *value)
{
	struct hb_buf low = HB_BUF_INIT(0);
	struct entry *e;
	int r = refresh(m);

	if (r < 0)
		return r;
	hb_buf_clear(value);
	lower_key(key, &low);
	if (m->from_db) {
		r = db_get(m, hb_buf_span(&low), value);
	} else {
		e = find_entry(m, hb_buf_span(&low));
		r = e == NULL ? HB_E_NOTFOUND : hb_buf_put(value, e->value);
	}
	hb_buf_free(&low);
	return r;
}

static int
put_row(DB *db, struct hb_span key, struct hb_span value, bool replace)
{
	DBT dk, dv;
	struct hb_buf k = HB_BUF_INIT(0), v = HB_BUF_INIT(0);
	int r;

	lower_key(key, &k);
	hb_buf_add(&v, value);
	memset(&dk, 0, sizeof(dk));
	memset(&dv, 0, sizeof(dv));
	dk.data = k.p;
	dk.size = (u_int32_t)k.n;
	dv.data = v.p;
	dv.size = (u_int32_t)v.n;
	r = db->put(db, NULL, &dk, &dv, replace ? 0 : DB_NOOVERWRITE);
	hb_buf_free(&k);
	hb_buf_free(&v);
	if (r == DB_KEYEXIST)
		return HB_E_EXISTS;
	return r == 0 ? 0 : HB_E_IO;
}

static int
build_rows(DB *db, const char *file, struct hb_span text,
    enum hb_map_syntax syntax, bool replace, struct hb_buf *err)
{
	struct hb_maptext mt;
	struct hb_span k, v;
	int count = 0, bad = 0, r;

	hb_maptext_init(&mt, text, syntax);
	while ((r = hb_maptext_next(&mt, &k, &v)) != 0) {
		if (r > 0)
			r = v.n > HB_MAX_MAP_VALUE
			    ? HB_E_RANGE : put_row(db, k, v, replace);
		if (r < 0) {
			hb_buf_addf(err, "%s:%u: %s\n", file, mt.line,
			    hb_strerror(r));
			bad = bad == HB_E_IO ? bad : r == HB_E_IO ? r
								  : HB_E_SYNTAX;
		} else {
			count++;
		}
	}
	hb_maptext_free(&mt);
	return bad < 0 ? bad : count;
}

int
hb_map_build(const char *file, struct hb_span text, enum hb_map_syntax syntax,
    bool replace, struct hb_buf *err)
{
	struct hb_buf tmp = HB_BUF_INIT(0), final = HB_BUF_INIT(0);
	int r = HB_E_IO;
	DB *db;

	hb_buf_addf(&tmp, "%s.db.new%c", file, '\0');
	hb_buf_addf(&final, "%s.db%c", file, '\0');
	unlink((char *)tmp.p);
	db = open_db((char *)tmp.p, DB_CREATE | DB_EXCL);
	if (db != NULL) {
		r = build_rows(db, file, text, syntax, replace, err);
		if (db->sync(db, 0) != 0 && r >= 0)
			r = HB_E_IO;
		db->close(db, 0);
	}
	if (r >= 0 && rename((char *)tmp.p, (char *)final.p) != 0)
		r = HB_E_IO;
	if (r < 0)
		unlink((char *)tmp.p);
	if (r == HB_E_IO)
		hb_buf_addf(err, "%s.db: %s\n", file, strerror(errno));
	hb_buf_free(&tmp);
	hb_buf_free(&final);
	return r;
}

int
hb_map_dump(const char *file, void (*row)(void *ctx, struct hb_span key,
    struct hb_span value), void *ctx)
{
	struct hb_buf path = HB_BUF_INIT(0);
	DBC *c;
	DBT k, v;
	DB *db;

	hb_buf_addf(&path, "%s.db%c", file, '\0');
	db = open_db((char *)path.p, DB_RDONLY);
	hb_buf_free(&path);
	if (db == NULL || db->cursor(db, NULL, &c, 0) != 0)
		return HB_E_IO;
	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	while (c->get(c, &k, &v, DB_NEXT) == 0)
		row(ctx, hb_span(k.data, k.size), hb_span(v.data, v.size));
	c->close(c);
	db->close(db, DB_NOSYNC);
	return 0;
}
