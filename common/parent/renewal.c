/*
 * Certificates and keys that are replaced while the server runs, as certbot
 * and its like do.  Floor 4.
 *
 * A pair is taken when its files have not changed between two looks, and when
 * it is whole and fits.  The key agent gets it first and keeps the keys before
 * it; when it has said so the listeners get theirs.  So a handshake finds its
 * key at any moment.  A pair that is no good is told, and the one before stays.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/file.h"
#include "common/io/trouble.h"
#include "common/parent/conf_check_run.h"
#include "common/parent/parent.h"

enum renewal_step { RESTS, AGENT, LISTENERS };

struct pd_renewal {
	int64_t seen[HB_MAX_CERTIFICATES]; /* at the last look */
	int64_t used[HB_MAX_CERTIFICATES]; /* judged already */
	enum renewal_step step;
	uint32_t generation;	/* that the roles have to report */
	struct pd_files before; /* what returns if one of them refuses */
};

struct pair {
	const char *chain, *key; /* paths */
	struct hb_buf space[2];
	struct hb_buf bytes[2];
};

static size_t
count(const struct pd_parent *pd)
{
	if (pd_wants_own_certificate(pd->now.conf))
		return 1;
	return pd->now.conf->certs.n;
}

static void
name_pair(const struct pd_parent *pd, size_t i, struct pair *p)
{
	const struct hb_conf *conf = pd->now.conf;

	*p = (struct pair){ 0 };
	if (pd_wants_own_certificate(conf)) {
		p->chain = pd_tls_path(conf, "cert.pem", &p->space[0]);
		p->key = pd_tls_path(conf, "key.pem", &p->space[1]);
		return;
	}
	p->chain = conf->certs.v[i].chain;
	p->key = conf->certs.v[i].key;
}

static void
free_pair(struct pair *p)
{
	for (int k = 0; k < 2; k++) {
		hb_buf_free(&p->space[k]);
		hb_buf_wipe(&p->bytes[k]);
	}
}

/* It follows links: certbot's are turned to another file. */
static int64_t
state_of(const struct pair *p)
{
	return pd_file_state(p->chain) * 7 + pd_file_state(p->key);
}

static struct pd_file *
loaded(struct pd_files *files, enum hb_file_kind kind, size_t index)
{
	for (size_t i = 0; i < files->n; i++)
		if (files->v[i].kind == kind && files->v[i].index == index)
			return &files->v[i];
	return NULL;
}

/* A pair that came before these files were read is found by the next looks:
 * they read each pair once. */
void
pd_renewal_begin(struct pd_parent *pd)
{
	struct pd_renewal *r = pd->renewal;

	if (r == NULL)
		pd->renewal = r = HB_NEW(struct pd_renewal);
	memset(r->seen, 0, sizeof(r->seen));
	memset(r->used, 0, sizeof(r->used));
}

/* --- is it any good? --- */

static void
stays(const struct pair *p, const char *why)
{
	struct hb_buf text = HB_BUF_INIT(0);

	hb_buf_addf(&text, "the new pair is not taken: %s; what was in use "
	    "before still is", why);
	hb_trouble_begin(HB_EV_CONFIG, hb_span_str(p->chain),
	    hb_buf_span(&text));
	hb_buf_free(&text);
	HB_LOG(HB_LOG_ERROR, HB_EV_CERTIFICATE, hb_kv_str(HB_K_ACTION, "kept"),
	    hb_kv_str(HB_K_FILE, p->chain), hb_kv_str(HB_K_ERROR, why));
}

static bool
is_read(struct pair *p)
{
	const char *const path[2] = { p->chain, p->key };

	for (int k = 0; k < 2; k++) {
		struct hb_buf why = HB_BUF_INIT(0);
		int e = hb_read_file(path[k], HB_MAX_LOADED_FILE, &p->bytes[k]);

		if (e == 0 && p->bytes[k].n > 0)
			continue;
		hb_buf_addf(&why, "%s cannot be read: %s", path[k],
		    e < 0 ? hb_file_error(e) : "it is empty");
		stays(p, hb_buf_cstr(&why));
		hb_buf_free(&why);
		return false;
	}
	return true;
}

/* The first mistake of FOUND, without its kind and line. */
static struct hb_span
first_mistake(struct hb_span found)
{
	while (found.n > 0) {
		struct hb_span line = hb_span_cut(&found, '\n');

		if (!hb_span_eq(hb_span_word(&line), HB_SPAN("E")))
			continue;
		(void)hb_span_word(&line);
		return hb_span_trim(line);
	}
	return HB_SPAN_NONE;
}

static bool
is_fitting(const struct pd_parent *pd, const struct pair *p)
{
	const struct pd_check how = { pd->libexec, pd->privileged };
	struct hb_buf pem = HB_BUF_INIT(0), found = HB_BUF_INIT(0);
	struct hb_buf why = HB_BUF_INIT(0);
	struct hb_span mistake;

	hb_buf_add(&pem, hb_buf_span(&p->bytes[0]));
	hb_buf_add(&pem, hb_span("", 1));
	hb_buf_add(&pem, hb_buf_span(&p->bytes[1]));
	if (pd_check_pem(&how, pd->now.conf, "pair", hb_buf_span(&pem),
		&found) != 0)
		hb_buf_adds(&why, "it could not be looked at");
	mistake = first_mistake(hb_buf_span(&found));
	hb_buf_add(&why, mistake);
	if (why.n > 0)
		stays(p, hb_buf_cstr(&why));
	mistake = hb_buf_span(&why);
	hb_buf_wipe(&pem);
	hb_buf_free(&found);
	hb_buf_free(&why);
	return mistake.n == 0;
}

/* --- putting it in force --- */

static bool
is_other(struct pd_files *files, size_t i, const struct pair *p)
{
	static const enum hb_file_kind kind[2] = { HB_FILE_CERT, HB_FILE_KEY };

	for (int k = 0; k < 2; k++) {
		const struct pd_file *f = loaded(files, kind[k], i);

		if (f == NULL || !hb_span_eq(hb_buf_span(&f->bytes),
		    hb_buf_span(&p->bytes[k])))
			return true;
	}
	return false;
}

static void
put(struct pd_files *files, enum hb_file_kind kind, size_t i,
    struct hb_buf *bytes, struct pd_files *before)
{
	struct pd_file *f = loaded(files, kind, i);

	HB_ASSERT(f != NULL && before->n < PD_FILES_MAX);
	before->v[before->n++] = *f;
	f->bytes = *bytes;
	*bytes = HB_BUF_INIT(0);
}

/* True: the pair is another one, and is in force. */
static bool
take(struct pd_parent *pd, size_t i, struct pair *p)
{
	struct pd_renewal *r = pd->renewal;

	if (!is_read(p))
		return false;
	if (!is_other(&pd->now.files, i, p)) {
		hb_trouble_end(HB_EV_CONFIG, hb_span_str(p->chain));
		return false;
	}
	if (!is_fitting(pd, p))
		return false;
	put(&pd->now.files, HB_FILE_CERT, i, &p->bytes[0], &r->before);
	put(&pd->now.files, HB_FILE_KEY, i, &p->bytes[1], &r->before);
	hb_trouble_end(HB_EV_CONFIG, hb_span_str(p->chain));
	return true;
}

static bool
is_agent(enum hb_role role)
{
	return role == HB_ROLE_KEYAGENT;
}

static bool
is_listener(enum hb_role role)
{
	return role == HB_ROLE_SMTPD;
}

void
pd_renewal_look(struct pd_parent *pd)
{
	struct pd_renewal *r = pd->renewal;
	bool any = false;

	if (pd->phase != PD_RUNNING || pd->before.conf != NULL ||
	    r->step != RESTS)
		return;
	for (size_t i = 0; i < count(pd); i++) {
		int64_t seen = r->seen[i];
		struct pair p;

		name_pair(pd, i, &p);
		r->seen[i] = state_of(&p);
		if (r->seen[i] == seen && seen != r->used[i]) {
			r->used[i] = seen;
			any = take(pd, i, &p) || any;
		}
		free_pair(&p);
	}
	if (!any)
		return;
	r->step = AGENT;
	r->generation = ++pd->generation;
	pd_renew(pd, is_agent);
}

/* --- the roles --- */

/* Those that are down get it with their start. */
static bool
have_it(const struct pd_parent *pd, bool (*is)(enum hb_role role))
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (is(pd->procs[i].role) &&
		    (pd->procs[i].state != PD_READY ||
			pd->procs[i].generation < pd->renewal->generation))
			return false;
	return true;
}

void
pd_renewal_next(struct pd_parent *pd)
{
	struct pd_renewal *r = pd->renewal;

	if (r->step == AGENT && have_it(pd, is_agent)) {
		r->step = LISTENERS;
		pd_renew(pd, is_listener);
	}
	if (r->step == LISTENERS && have_it(pd, is_listener)) {
		pd_free_files(&r->before);
		r->step = RESTS;
	}
}

static void
restore(struct pd_parent *pd)
{
	struct pd_renewal *r = pd->renewal;

	for (size_t i = 0; i < r->before.n; i++) {
		struct pd_file *old = &r->before.v[i];
		struct pd_file *f = loaded(&pd->now.files, old->kind,
		    old->index);

		HB_ASSERT(f != NULL);
		hb_buf_wipe(&f->bytes);
		f->bytes = old->bytes;
	}
	r->before.n = 0;
	r->step = RESTS;
}

void
pd_renewal_cancel(struct pd_parent *pd)
{
	if (pd->renewal->step == RESTS)
		return;
	restore(pd);
	pd_renewal_begin(pd);
}

void
pd_renewal_refused(struct pd_parent *pd, uint32_t generation, const char *why)
{
	struct pd_renewal *r = pd->renewal;

	if (r->step == RESTS || generation != r->generation)
		return;
	for (size_t i = 0; i < r->before.n; i++) {
		struct pair p;

		if (r->before.v[i].kind != HB_FILE_CERT)
			continue;
		name_pair(pd, r->before.v[i].index, &p);
		stays(&p, why);
		free_pair(&p);
	}
	restore(pd);
	pd->generation++;
	pd_renew(pd, is_agent);
	pd_renew(pd, is_listener);
}
