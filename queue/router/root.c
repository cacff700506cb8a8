/* The router as a program that answers once: who reads root's mail?  What
 * `hauberkd -n', start and reload ask.  Floor 4. */
#include "config.h"

#include "queue/router/root.h"

#include <pwd.h>
#include <stdio.h>
#include <sysexits.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/file.h"
#include "queue/router/lookup.h"
#include "queue/router/unread.h"

enum { READ_SIZE = 65536, INCLUDE_MAX = 16 * 1024 * 1024 };

struct asking {
	const struct hb_conf *conf;
	struct rt_lookup *lookup;
	struct rt_readers readers;
	const char *name;
	void (*go)(void *arg); /* the next turn of a long walk */
	void *arg;
};

static int
op_alias(void *ctx, struct hb_span key, struct hb_buf *value)
{
	const struct asking *a = ctx;

	return rt_lookup_alias(a->lookup, key, value);
}

/* Nobody else waits here: the name service is asked in place. */
static void
op_user(void *ctx, struct hb_span local, struct hb_span domain, rt_found_fn cb,
    void *cb_ctx)
{
	const struct asking *a = ctx;
	char name[HB_MAX_LOCAL_PART + 1];

	if (!a->conf->local_users.passwd)
		rt_lookup_user(a->lookup, RT_LANE_OWN, local, domain, cb,
		    cb_ctx);
	else
		cb(cb_ctx, hb_span_copy(local, name, sizeof(name)) == 0 &&
			    getpwnam(name) != NULL
			? RT_FOUND : RT_NOTFOUND);
}

static int
op_include(void *ctx, struct hb_span path, struct hb_buf *content)
{
	char name[4096];

	(void)ctx;
	if (hb_span_copy(path, name, sizeof(name)) < 0 || name[0] != '/' ||
	    hb_read_file(name, INCLUDE_MAX, content) != 0)
		return HB_E_TEMP;
	return 0;
}

static void
op_later(void *ctx, void (*go)(void *arg), void *arg)
{
	struct asking *a = ctx;

	a->go = go;
	a->arg = arg;
}

static void
walked(void *ctx, const struct rt_item *items, size_t n,
    const struct hb_outcome *outcome)
{
	const struct asking *a = ctx;
	const char *why = rt_why_unread(a->conf, &a->readers, items, n,
	    outcome);

	if (why != NULL)
		printf("W 0 nobody reads mail for %s: %s; say who gets it in "
		    "aliases (%s: you), then reload\n", a->name, why, a->name);
}

static void
walk(struct asking *a, const char *name)
{
	static const struct rt_expansion_ops ops = { op_alias, op_user,
		op_include, walked, op_later, NULL };
	struct hb_buf address = HB_BUF_INIT(0);

	a->name = name;
	hb_buf_addf(&address, "%s@%s", name, hb_conf_origin(a->conf));
	rt_expansion(&a->conf, hb_buf_span(&address), &ops, a);
	while (a->go != NULL) {
		void (*go)(void *arg) = a->go;

		a->go = NULL;
		go(a->arg);
	}
	hb_buf_free(&address);
}

static int
read_all(struct hb_buf *in)
{
	unsigned char *room;
	size_t n;

	do {
		if (hb_buf_reserve(in, READ_SIZE, &room) != 0)
			return HB_E_RANGE;
		n = fread(room, 1, READ_SIZE, stdin);
		hb_buf_added(in, n);
	} while (n > 0);
	return 0;
}

int
rt_root_main(bool accounts)
{
	struct hb_buf in = HB_BUF_INIT(0);
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf_source src = { .file = "(parent)", .dir = "/" };
	struct asking a = { .readers = { .accounts = accounts } };
	struct hb_conf *conf;

	if (read_all(&in) < 0)
		return EX_SOFTWARE;
	src.text = hb_buf_span(&in);
	conf = hb_conf_parse(&src, &report);
	if (report.errors > 0)
		return EX_CONFIG;
	a.conf = conf;
	a.readers.postmaster = conf->local_users.passwd &&
	    getpwnam("postmaster") != NULL;
	a.lookup = rt_lookup_new(hb_loop_new(), conf);
	walk(&a, "root");
	walk(&a, "postmaster");
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
