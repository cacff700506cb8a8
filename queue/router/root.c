/* The router's single check: who reads root's mail?  For `hauberkd -n', start
 * and reload.  Floor 4. */
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
};

static enum rt_found
read_list(struct hb_span path, struct hb_buf *content)
{
	char name[4096];

	if (hb_span_copy(path, name, sizeof(name)) < 0 || name[0] != '/' ||
	    hb_read_file(name, INCLUDE_MAX, content) != 0)
		return RT_TEMP;
	return RT_FOUND;
}

/* Nobody else waits here: the name service is asked in place. */
static enum rt_found
look_up(const struct asking *a, const struct rt_query *q)
{
	char name[HB_MAX_LOCAL_PART + 1];

	if (q->kind == RT_QUERY_INCLUDE)
		return read_list(q->key, q->value);
	if (q->kind == RT_QUERY_ALIAS || !a->conf->local_users.passwd)
		return rt_look_up(a->lookup, RT_LANE_OWN, q, NULL, NULL);
	return hb_span_copy(q->key, name, sizeof(name)) == 0 &&
		getpwnam(name) != NULL
	    ? RT_FOUND : RT_NOTFOUND;
}

static void
tell(const struct asking *a, struct rt_expansion *w, const char *name)
{
	const struct rt_item *items;
	size_t n = rt_expansion_items(w, SIZE_MAX, &items);
	const char *why = rt_why_unread(a->conf, &a->readers, items, n,
	    rt_expansion_outcome(w));

	if (why != NULL)
		printf("W 0 nobody reads mail for %s: %s; say who gets it in "
		    "aliases (%s: you), then reload\n", name, why, name);
}

static void
walk(const struct asking *a, const char *name)
{
	struct hb_buf address = HB_BUF_INIT(0);
	struct rt_expansion *w;
	const struct rt_query *q;
	enum rt_next next;

	hb_buf_addf(&address, "%s@%s", name, hb_conf_origin(a->conf));
	w = rt_expansion_new(&a->conf, hb_buf_span(&address));
	while ((next = rt_expansion_run(w, &q)) != RT_DONE)
		if (next == RT_LOOK_UP)
			rt_expansion_answer(w, look_up(a, q));
	tell(a, w, name);
	rt_expansion_free(&w);
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
