/* Files that roles may not open: reading them, and who gets which.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/base/err.h"
#include "common/parent/conf_check.h"
#include "common/parent/parent.h"
#include "common/io/file.h"
#include "common/io/trouble.h"

bool
pd_file_is_for(enum hb_file_kind kind, enum hb_role role)
{
	return (hb_role_info(role)->files >> kind & 1) != 0;
}

struct loading {
	struct pd_files *out;
	struct pd_files *before; /* of watched files, or NULL */
	struct hb_buf *err;
	int code;
};

/* A file that was there and cannot be read now goes on with what it said. */
static void
keep_before(struct loading *l, struct pd_file *f, const char *path, int r)
{
	struct hb_buf why = HB_BUF_INIT(0);

	for (size_t i = 0; l->before != NULL && i < l->before->n; i++) {
		struct pd_file *old = &l->before->v[i];

		if (old->kind != f->kind)
			continue;
		*f = *old;
		old->bytes = HB_BUF_INIT(0);
		l->out->n++;
		hb_buf_addf(&why, "cannot be read: %s; what it said before "
		    "stays in force", hb_file_error(r));
		hb_trouble_begin(HB_EV_CONFIG, hb_span_str(path),
		    hb_buf_span(&why));
		hb_buf_free(&why);
		return;
	}
}

/* Takes the file in; a missing one is a mistake if it is NEEDED. */
static void
load(struct loading *l, enum hb_file_kind kind, size_t index, const char *path,
    bool needed)
{
	struct pd_file *f = &l->out->v[l->out->n];
	int r;

	HB_ASSERT(l->out->n < PD_FILES_MAX);
	*f = (struct pd_file){ .kind = kind, .index = (unsigned)index };
	r = hb_read_file(path, HB_MAX_LOADED_FILE, &f->bytes);
	if (r == 0 && (!needed || hb_buf_span(&f->bytes).n > 0)) {
		l->out->n++;
		hb_trouble_end(HB_EV_CONFIG, hb_span_str(path));
		return;
	}
	hb_buf_wipe(&f->bytes);
	if (!needed) {
		keep_before(l, f, path, r);
		return;
	}
	l->code = EX_CONFIG;
	hb_buf_addf(l->err, "%s: cannot read it: %s\n", path,
	    r < 0 ? hb_file_error(r) : "It is empty");
}

/* What the system may change without a word to us. */
static void
load_watched(struct loading *l, const struct hb_conf *conf)
{
	struct pd_file *f = &l->out->v[l->out->n++];

	HB_ASSERT(l->out->n <= PD_FILES_MAX);
	*f = (struct pd_file){ .kind = HB_FILE_INTERFACES };
	if (!pd_list_interfaces(&f->bytes))
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_TEXT,
		    "the addresses of this host cannot be read"),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
	load(l, HB_FILE_RESOLV, 0, PD_RESOLV_CONF, false);
	if (conf->hosts_file != NULL)
		load(l, HB_FILE_HOSTS, 0, conf->hosts_file, false);
}

static void
load_certificates(struct loading *l, const struct hb_conf *conf)
{
	struct hb_buf path = HB_BUF_INIT(0);

	for (size_t i = 0; i < conf->certs.n; i++) {
		load(l, HB_FILE_CERT, i, conf->certs.v[i].chain, true);
		load(l, HB_FILE_KEY, i, conf->certs.v[i].key, true);
	}
	if (pd_wants_own_certificate(conf)) {
		load(l, HB_FILE_CERT, 0, pd_tls_path(conf, "cert.pem", &path),
		    true);
		load(l, HB_FILE_KEY, 0, pd_tls_path(conf, "key.pem", &path),
		    true);
	}
	hb_buf_free(&path);
}

static void
load_roots(struct loading *l, const struct hb_conf *conf)
{
	const char *bundle;
	size_t i = 0;

	for (; i < conf->ca_files.n; i++)
		load(l, HB_FILE_CA, i, conf->ca_files.v[i], true);
	if (i > 0)
		return;
	bundle = pd_ca_bundle();
	if (bundle != NULL)
		load(l, HB_FILE_CA, 0, bundle, true);
	else
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_WORD,
		    "ca-file"), hb_kv_str(HB_K_TEXT, "no bundle of trusted "
		    "roots on this system: nothing can be verified"));
}

int
pd_load_files(const struct pd_parent *pd, const struct hb_conf *conf,
    struct pd_files *out, struct hb_buf *err)
{
	struct loading l = { .out = out, .err = err };

	out->n = 0;
	if (pd_wants_own_certificate(conf))
		l.code = pd_ensure_certificate(pd, conf, err);
	if (l.code == 0)
		load_certificates(&l, conf);
	load_roots(&l, conf);
	load_watched(&l, conf);
	if (conf->smarthost.auth_file != NULL)
		load(&l, HB_FILE_AUTH, 0, conf->smarthost.auth_file, true);
	if (l.code != 0)
		pd_free_files(out);
	return l.code;
}

void
pd_free_files(struct pd_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		hb_buf_wipe(&files->v[i].bytes);
	files->n = 0;
}

static bool
is_watched(enum hb_file_kind kind)
{
	return kind == HB_FILE_RESOLV || kind == HB_FILE_HOSTS ||
	    kind == HB_FILE_INTERFACES;
}

bool
pd_is_watching(enum hb_role role)
{
	for (int k = 0; k < HB_FILE_COUNT; k++)
		if (is_watched((enum hb_file_kind)k) &&
		    pd_file_is_for((enum hb_file_kind)k, role))
			return true;
	return false;
}

/* All others stay as they were loaded: a certificate that is being replaced
 * must not come without its key, nor before the reload. */
void
pd_load_watched(struct pd_parent *pd)
{
	struct pd_files *files = &pd->now.files;
	struct pd_files before = { .n = 0 };
	struct loading l = { .out = files, .before = &before };
	size_t kept = 0;

	for (size_t i = 0; i < files->n; i++) {
		struct pd_file *f = &files->v[i];

		if (is_watched(f->kind))
			before.v[before.n++] = *f;
		else
			files->v[kept++] = *f;
	}
	files->n = kept;
	load_watched(&l, pd->now.conf);
	pd_free_files(&before);
}
