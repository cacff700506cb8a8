/*
 * Maps from text files and Berkeley DB hash files.  Floor 3: only this file and
 * queue/spool/store.c use db.h.
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
#include "common/io/file.h"
#include "common/io/trouble.h"
#include "common/proto/idna.h"

enum {
	LINES_TOLD = 10,
	AT_ONCE = 64 << 10, /* bytes of text that one lookup may wait for */
	SLICE = 1000	    /* entries of a longer one */
};

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

/* The entries of a text while they are read. */
struct content {
	struct version version;
	struct hb_buf text;
	struct hb_maptext mt;
	int64_t bad; /* lines that are no entries */
	struct hb_arena *arena;
	struct entry *entries;
};

struct hb_map {
	enum hb_map_kind kind; /* as configured */
	enum hb_map_syntax syntax;
	char *text_path, *db_path;
	bool loaded, from_db;
	struct version version; /* of what is loaded */
	uint64_t loads;
	int failed; /* -errno: failed_version is of no use and is not read again */
	struct version failed_version;
	struct hb_arena *arena; /* of a text file */
	struct entry *entries;
	struct content *next; /* that is being read, while the old one counts */
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

bool
hb_map_is(const struct hb_map *m, const struct hb_mapspec *spec)
{
	return m != NULL && m->kind == spec->kind &&
	    strcmp(m->text_path, spec->arg) == 0;
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

static void
drop_next(struct hb_map *m)
{
	struct content *c = m->next;

	m->next = NULL;
	if (c == NULL)
		return;
	hb_maptext_free(&c->mt);
	hb_buf_free(&c->text);
	HASH_CLEAR(hh, c->entries);
	hb_arena_free(&c->arena);
	free(c);
}

void
hb_map_close(struct hb_map **m)
{
	if (*m == NULL)
		return;
	drop_next(*m);
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

/* In lower case, and what is behind an @ in A-labels, as all addresses are.
 * A domain that is none keeps its letters, and nobody will ask for it. */
static void
lower_key(struct hb_span key, struct hb_buf *out)
{
	hb_buf_clear(out);
	hb_buf_add(out, key);
	hb_buf_lower(out, 0);
	(void)!hb_idna_address(out);
}

static struct entry *
find_entry(struct entry *entries, struct hb_span key)
{
	struct entry *e = NULL;

	HASH_FIND(hh, entries, key.p, key.n, e);
	return e;
}

static void
add_entry(struct content *c, struct hb_span key, struct hb_span value)
{
	struct hb_buf low = HB_BUF_INIT(0);
	struct entry *e;

	lower_key(key, &low);
	if (find_entry(c->entries, hb_buf_span(&low)) == NULL) {
		e = hb_arena_alloc(c->arena, sizeof(*e));
		e->key = hb_arena_span(c->arena, hb_buf_span(&low));
		e->value = hb_arena_span(c->arena, value);
		HASH_ADD_KEYPTR(hh, c->entries, e->key.p, e->key.n, e);
	}
	hb_buf_free(&low);
}

static void
tell_bad_line(const struct hb_map *m, struct content *c)
{
	if (c->bad++ < LINES_TOLD)
		HB_LOG(HB_LOG_WARN, HB_EV_MAP,
		    hb_kv_str(HB_K_FILE, m->text_path),
		    hb_kv_int(HB_K_LINE, c->mt.line),
		    hb_kv_str(HB_K_ERROR, "not an entry"));
}

/* The first entry of a key counts; a line that is no entry is told and
 * skipped.  False: that was all. */
static bool
load_entry(struct hb_map *m)
{
	struct content *c = m->next;
	struct hb_span k, v;
	int r = hb_maptext_next(&c->mt, &k, &v);

	if (r < 0 || (r > 0 && v.n > HB_MAX_MAP_VALUE))
		tell_bad_line(m, c);
	else if (r > 0)
		add_entry(c, k, v);
	else if (c->bad > LINES_TOLD)
		HB_LOG(HB_LOG_WARN, HB_EV_MAP,
		    hb_kv_str(HB_K_FILE, m->text_path),
		    hb_kv_int(HB_K_COUNT, c->bad),
		    hb_kv_str(HB_K_ERROR, "lines that are no entries"));
	return r != 0;
}

/* 0 or -errno; ENODATA for an empty file, which is what a full disk leaves:
 * a file without entries has a comment. */
static int
begin_text(struct hb_map *m, const struct version *v)
{
	struct content *c = HB_NEW(struct content);
	int r;

	m->next = c;
	c->version = *v;
	c->text = HB_BUF_INIT(0);
	c->arena = hb_arena_new();
	r = hb_read_file(m->text_path, HB_MAX_MAP_FILE, &c->text);
	if (r == 0 && c->text.n == 0)
		r = -ENODATA;
	hb_maptext_init(&c->mt, hb_buf_span(&c->text), m->syntax);
	if (r < 0)
		drop_next(m);
	return r;
}

/* The version that was read counts from now on. */
static void
use_next(struct hb_map *m)
{
	struct content *c = m->next;

	unload(m);
	m->arena = c->arena;
	m->entries = c->entries;
	m->version = c->version;
	m->loads++;
	m->loaded = true;
	m->from_db = false;
	c->arena = NULL;
	c->entries = NULL;
	drop_next(m);
}

bool
hb_map_read_on(struct hb_map *m)
{
	for (int i = 0; i < SLICE && m != NULL && m->next != NULL; i++)
		if (!load_entry(m))
			use_next(m);
	return hb_map_is_reading(m);
}

bool
hb_map_is_reading(const struct hb_map *m)
{
	return m != NULL && m->next != NULL;
}

/* A long text is left to hb_map_read_on while older entries can answer. */
static int
load_text(struct hb_map *m, const struct version *v)
{
	int r = 0;

	if (m->next != NULL && !same_version(v, &m->next->version))
		drop_next(m);
	if (m->next == NULL)
		r = begin_text(m, v);
	if (r < 0)
		return r;
	while ((!m->loaded || v->size <= AT_ONCE) && m->next != NULL)
		(void)hb_map_read_on(m);
	return 0;
}

static void
db_silent(const DB_ENV *env, const char *prefix, const char *msg)
{
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
	int r;

	if (db)
		drop_next(m);
	r = db ? load_db(m) : load_text(m, v);
	m->failed = r == -ENODATA || r == -EFBIG ? r : 0;
	m->failed_version = *v;
	if (r < 0 || !db)
		return r;
	m->loaded = m->from_db = true;
	m->version = *v;
	m->loads++;
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
		drop_next(m);
		tell(m, 0);
		return 0;
	}
	if (r == 0 && m->failed < 0 && same_version(&v, &m->failed_version))
		r = m->failed;
	else if (r == 0)
		r = load(m, db, &v);
	tell(m, r);
	return r == 0 || m->loaded ? 0 : HB_E_TEMP;
}

uint64_t
hb_map_version(struct hb_map *m)
{
	return refresh(m) == 0 ? m->loads : 0;
}

void
hb_map_walk(const struct hb_map *m, void (*row)(void *ctx,
    struct hb_span value), void *ctx)
{
	for (struct entry *e = m->entries; e != NULL; e = e->hh.next)
		row(ctx, e->value);
}

/* sendmail's newaliases counts the NUL at the end of keys and values. */
static int
db_get(struct hb_map *m, struct hb_span key, struct hb_buf *value)
{
	struct hb_buf k = HB_BUF_INIT(0);
	DBT dk, dv;
	int r = DB_NOTFOUND;

	hb_buf_add(&k, key);
	(void)hb_buf_cstr(&k);
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
		e = find_entry(m->entries, hb_buf_span(&low));
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

/* One entry of the text, or its error R. */
static int
check_row(int r, struct hb_span value, enum hb_map_syntax syntax)
{
	struct hb_buf target = HB_BUF_INIT(0);

	if (r > 0 && value.n > HB_MAX_MAP_VALUE)
		r = HB_E_RANGE;
	while (r > 0 && syntax == HB_MAPSYN_ALIASES && value.n > 0)
		r = hb_alias_next(&value, &target) < 0 ? HB_E_SYNTAX : r;
	hb_buf_free(&target);
	return r;
}

struct building {
	DB *db;
	const char *file;
	unsigned flags;
	unsigned bad; /* lines that are no entries */
	int error;    /* why nothing is built, or 0 */
	struct hb_buf *err;
};

static void
tell_mistake(struct building *b, unsigned line, int r, struct hb_span key)
{
	bool skip = (b->flags & HB_MAP_SKIP) != 0;

	if (r == HB_E_EXISTS && skip) {
		hb_buf_addf(b->err, "%s:%u: warning: '", b->file, line);
		hb_buf_add(b->err, key);
		hb_buf_adds(b->err, "' is there already; the first counts\n");
		return;
	}
	hb_buf_addf(b->err, "%s:%u: %s\n", b->file, line, hb_strerror(r));
	b->bad++;
	if (r == HB_E_IO || (!skip && b->error == 0))
		b->error = r == HB_E_IO ? r : HB_E_SYNTAX;
}

static int
build_rows(struct building *b, struct hb_span text, enum hb_map_syntax syntax)
{
	struct hb_maptext mt;
	struct hb_span k = HB_SPAN_NONE, v;
	int count = 0, r;

	hb_maptext_init(&mt, text, syntax);
	while ((r = hb_maptext_next(&mt, &k, &v)) != 0) {
		r = check_row(r, v, syntax);
		if (r > 0)
			r = put_row(b->db, k, v,
			    (b->flags & HB_MAP_REPLACE) != 0);
		if (r < 0)
			tell_mistake(b, mt.line, r, k);
		else
			count++;
	}
	hb_maptext_free(&mt);
	if (count == 0 && b->bad > 0 && b->error == 0)
		return HB_E_SYNTAX; /* there is nothing good to build */
	return b->error < 0 ? b->error : count;
}

int
hb_map_build(const char *file, struct hb_span text, enum hb_map_syntax syntax,
    unsigned flags, unsigned *bad, struct hb_buf *err)
{
	struct building b = { .file = file, .flags = flags, .err = err };
	struct hb_buf tmp = HB_BUF_INIT(0), final = HB_BUF_INIT(0);
	int r = HB_E_IO;

	hb_buf_addf(&tmp, "%s.db.new", file);
	hb_buf_addf(&final, "%s.db", file);
	unlink(hb_buf_cstr(&tmp));
	b.db = open_db(hb_buf_cstr(&tmp), DB_CREATE | DB_EXCL);
	if (b.db != NULL) {
		r = build_rows(&b, text, syntax);
		if (b.db->sync(b.db, 0) != 0 && r >= 0)
			r = HB_E_IO;
		b.db->close(b.db, 0);
	}
	if (bad != NULL)
		*bad = b.bad;
	if (r >= 0 && rename(hb_buf_cstr(&tmp), hb_buf_cstr(&final)) != 0)
		r = HB_E_IO;
	if (r < 0)
		unlink(hb_buf_cstr(&tmp));
	if (r == HB_E_IO)
		hb_buf_addf(err, "%s.db: %s\n", file, strerror(errno));
	hb_buf_free(&tmp);
	hb_buf_free(&final);
	return r;
}

static struct hb_span
without_nul(const DBT *t)
{
	struct hb_span s = hb_span(t->data, t->size);

	return s.n > 0 && s.p[s.n - 1] == '\0' ? hb_span_head(s, s.n - 1) : s;
}

int
hb_map_dump(const char *file, void (*row)(void *ctx, struct hb_span key,
    struct hb_span value), void *ctx)
{
	struct hb_buf path = HB_BUF_INIT(0);
	DBC *c;
	DBT k, v;
	DB *db;

	hb_buf_addf(&path, "%s.db", file);
	db = open_db(hb_buf_cstr(&path), DB_RDONLY);
	hb_buf_free(&path);
	if (db == NULL || db->cursor(db, NULL, &c, 0) != 0)
		return HB_E_IO;
	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	while (c->get(c, &k, &v, DB_NEXT) == 0)
		row(ctx, without_nul(&k), without_nul(&v));
	c->close(c);
	db->close(db, DB_NOSYNC);
	return 0;
}
