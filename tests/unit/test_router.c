/* The router's rules, its walk through aliases, its children. */
#include "tests/unit/unit.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/proto/here.h"
#include "queue/router/lookup.h"
#include "queue/router/unread.h"
#include "queue/router/usual.h"
#include "queue/router/workrec.h"
#include "queue/router/expansion.h"

static struct hb_conf *
conf_of(const char *text)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf_source src = { .file = "c", .dir = "/",
		.text = hb_span_str(text), .default_hostname = "mx.site.test" };
	struct hb_conf *c;

	src.read = (hb_conf_read_fn)(void (*)(void))abort; /* never called */
	c = hb_conf_parse(&src, &report);
	assert_int_equal(report.errors, 0);
	hb_buf_free(&report.text);
	return c;
}

/* A world of aliases and users for the walk. */
struct pair {
	const char *key, *value;
};
struct world {
	const struct pair *aliases;
	const char *const *users;
	bool users_down;
	struct hb_buf got; /* "address>route;" ... then "=result reason" */
	bool async; /* answers come later, see tell_all */
	enum rt_found found;
	struct rt_expansion *walk;
	unsigned many; /* members of /many */
	unsigned asked, aliases_asked, turns, most; /* most: asked in one turn */
	size_t items;
	void (*done)(struct world *w, const struct rt_item *items, size_t n,
	    const struct hb_outcome *o); /* NULL: keep_items */
};

static enum rt_found
find_alias(struct world *w, struct hb_span key, struct hb_buf *value)
{
	w->aliases_asked++;
	for (const struct pair *p = w->aliases; p->key != NULL; p++)
		if (hb_span_eq_nocase(key, hb_span_str(p->key))) {
			if (p->value == NULL)
				return RT_TEMP;
			hb_buf_adds(value, p->value);
			return RT_FOUND;
		}
	return RT_NOTFOUND;
}

static enum rt_found
find_user(struct world *w, struct hb_span local)
{
	enum rt_found found = w->users_down ? RT_TEMP : RT_NOTFOUND;

	w->asked++;
	if (w->many > 0)
		found = RT_FOUND;
	for (size_t i = 0; w->users[i] != NULL; i++)
		if (hb_span_eq(local, hb_span_str(w->users[i])))
			found = RT_FOUND;
	return found;
}

static unsigned files_read;

static enum rt_found
read_list(const struct world *w, struct hb_span path, struct hb_buf *content)
{
	files_read++;
	if (hb_span_eq(path, HB_SPAN("/outer"))) {
		hb_buf_adds(content, "\xef\xbb\xbf"
		    "ann\n:include:/inner\n");
		return RT_FOUND;
	}
	if (hb_span_eq(path, HB_SPAN("/inner"))) {
		hb_buf_adds(content, "ann\nbob\n:include:/outer\n");
		return RT_FOUND;
	}
	if (hb_span_has_prefix_nocase(path, HB_SPAN("/deep/"))) {
		hb_buf_addf(content, ":include:%.*s0\n", HB_SPAN_ARG(path));
		return RT_FOUND;
	}
	if (hb_span_eq(path, HB_SPAN("/gap"))) {
		hb_buf_adds(content, ":include:\nann\n:include:/nothing\n");
		return RT_FOUND;
	}
	if (hb_span_has_prefix_nocase(path, HB_SPAN("/wide"))) {
		for (unsigned i = 0; i < 2 * HB_MAX_INCLUDES; i++)
			hb_buf_addf(content, ":include:/wide/%u\n", i);
		return RT_FOUND;
	}
	if (hb_span_eq(path, HB_SPAN("/nest"))) {
		hb_buf_adds(content, "v1\n:include:/many, v2\nfriends\n");
		return RT_FOUND;
	}
	for (unsigned i = 0; i < w->many; i++)
		hb_buf_addf(content, "u%u%c", i, i % 2 > 0 ? ',' : '\n');
	if (hb_span_eq(path, HB_SPAN("/broken")))
		hb_buf_adds(content, "bad line@@\n\"ann\n|/bin/x\nbob\n");
	if (w->many > 0 || hb_span_eq(path, HB_SPAN("/broken")))
		return RT_FOUND;
	if (!hb_span_eq(path, HB_SPAN("/list")))
		return RT_TEMP;
	hb_buf_adds(content, "# members\nann\n\n|/bin/evil\nbob, far@away.test\n");
	return RT_FOUND;
}

static void
keep_items(struct world *w, const struct rt_item *items, size_t n,
    const struct hb_outcome *o)
{
	for (size_t i = 0; i < n; i++)
		hb_buf_addf(&w->got, "%.*s>%.*s%s%.*s;",
		    HB_SPAN_ARG(items[i].address), HB_SPAN_ARG(items[i].route),
		    items[i].owner.n > 0 ? "^" : "",
		    HB_SPAN_ARG(items[i].owner));
	hb_buf_addf(&w->got, "=%s %.*s", hb_result_word(o->result),
	    HB_SPAN_ARG(o->status));
}

static enum rt_found
look_up(struct world *w, const struct rt_query *q)
{
	switch (q->kind) {
	case RT_QUERY_ALIAS:
		return find_alias(w, q->key, q->value);
	case RT_QUERY_USER:
		return find_user(w, q->key);
	case RT_QUERY_INCLUDE:
		break;
	}
	return read_list(w, q->key, q->value);
}

static void
finish(struct world *w)
{
	const struct rt_item *items;
	size_t n = rt_expansion_items(w->walk, SIZE_MAX, &items);

	assert_false(rt_expansion_has_items(w->walk));
	w->items = n;
	(w->done != NULL ? w->done : keep_items)(w, items, n,
	    rt_expansion_outcome(w->walk));
	rt_expansion_free(&w->walk);
}

/* Until it is done, or waits for an answer. */
static enum rt_next
run(struct world *w)
{
	const struct rt_query *q;
	enum rt_next next;
	unsigned asked = w->asked;

	while ((next = rt_expansion_run(w->walk, &q)) != RT_DONE) {
		if (next == RT_PAUSE) {
			w->turns++;
			if (w->asked - asked > w->most)
				w->most = w->asked - asked;
			asked = w->asked;
			continue;
		}
		w->found = look_up(w, q);
		if (w->async)
			return next;
		rt_expansion_answer(w->walk, w->found);
	}
	return next;
}

static void
expand(const struct hb_conf *const *now, const char *address, struct world *w)
{
	w->walk = rt_expansion_new(now, hb_span_str(address));
	if (run(w) == RT_DONE)
		finish(w);
}

static void
tell_all(struct world *w)
{
	while (w->walk != NULL) {
		rt_expansion_answer(w->walk, w->found);
		if (run(w) == RT_DONE)
			finish(w);
	}
}

static enum hb_result
exists(const struct hb_conf *const *now, const char *address, struct world *w)
{
	enum hb_result result;

	w->walk = rt_expansion_exists(now, hb_span_str(address));
	assert_int_equal(run(w), RT_DONE);
	result = (enum hb_result)rt_expansion_outcome(w->walk)->result;
	rt_expansion_free(&w->walk);
	return result;
}

static const struct pair aliases[] = {
	{ "root", "ann" },
	{ "team", "ann, bob" },
	{ "chain", "team, root" },
	{ "ping", "pong" },
	{ "pong", "ping" },
	{ "bob", "bob, archive@away.test" },
	{ "list", ":include:/list" },
	{ "owner-list", "ann" },
	{ "lost", ":include:/nothing" },
	{ "file", "/var/archive" },
	{ "prog", "\"|/bin/x -y, z\"" },
	{ "mixed", "ann, nosuch, bad@@x" },
	{ "gone", "error:5.1.6 has moved" },
	{ "many", ":include:/many" },
	{ "broken", "\\ann, :include:/broken, x@@y, \"z" },
	{ "owner-broken", "ann" },
	{ "esc", "\\team" },
	{ "open", "\"ann" },
	{ "temp", NULL },
	{ "full@site.test", "ann" },
	{ "@two.test", "ann" },
	{ "k\xc3\xa4the", "\xe6\xb5\x8b@b\xc3\xbc" "cher.test, K <k@b\xc3\xbc" "cher.test>" },
	{ "wide", "x@b\xc3\xbc..test, ann" },
	{ NULL, NULL },
};
static const char *const users[] = { "ann", "bob", "team", "j\xc3\xb6rg", NULL };

static void
walks(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "ann@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "ann+x@site.test", "ann+x@site.test>local:ann;=ok 2.1.5" },
		{ "nosuch@site.test", "=fail 5.1.1" },
		{ "Postmaster", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "root@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "FULL@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "full@two.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "team+d@site.test", "ann@site.test>local:ann;"
		    "bob@site.test>local:bob;archive@away.test>mx://away.test;"
		    "=ok 2.1.5" },
		{ "chain@site.test", "ann@site.test>local:ann;"
		    "bob@site.test>local:bob;archive@away.test>mx://away.test;"
		    "=ok 2.1.5" },
		{ "ping@site.test", "=defer 4.3.5" },
		{ "esc@site.test", "team@site.test>local:team;=ok 2.1.5" },
		{ "list@site.test", "list@site.test>error:5.3.5 An alias holds a "
		    "target that cannot be used^owner-list@site.test;"
		    "ann@site.test>local:ann^owner-list@site.test;"
		    "far@away.test>mx://away.test^owner-list@site.test;"
		    "bob@site.test>local:bob^owner-list@site.test;"
		    "archive@away.test>mx://away.test^owner-list@site.test;"
		    "=ok 2.1.5" },
		{ "lost@site.test", "=defer 4.3.0" },
		{ "temp@site.test", "=defer 4.3.0" },
		{ "file@site.test", "file@site.test>file:/var/archive@-;=ok 2.1.5" },
		{ "prog@site.test", "prog@site.test>pipe:-:/bin/x -y, z;=ok 2.1.5" },
		{ "gone@site.test", "gone@site.test>error:5.1.6 has moved;=ok 2.1.5" },
		{ "mixed@site.test", "ann@site.test>local:ann;"
		    "nosuch@site.test>error:5.1.1 User unknown;=defer 4.3.5" },
		{ "open@site.test", "=defer 4.3.5" },
		{ "x@away.test", "x@away.test>mx://away.test;=ok 2.1.5" },
		{ "x@sub.gw.test", "x@sub.gw.test>smtp://gw;=ok 2.1.5" },
		{ "x@[192.0.2.1]", "x@[192.0.2.1]>smtp://192.0.2.1;=ok 2.1.5" },
		{ "x@[IPv6:2001:db8::1]", "x@[IPv6:2001:db8::1]>"
		    "smtp://[2001:db8::1];=ok 2.1.5" },
		{ "x@[ipv6:::ffff:192.0.2.1]", "x@[ipv6:::ffff:192.0.2.1]>"
		    "smtp://192.0.2.1;=ok 2.1.5" },
		{ "x@[nonsense]", "=fail 5.1.2" },
		{ "ann@here.test", "ann@here.test>local:ann;=ok 2.1.5" },
		{ "ANN@site.test", "ANN@site.test>local:ann;=ok 2.1.5" },
		/* EAI-01, T-15: local parts as they are, domains as A-labels */
		{ "j\xc3\xb6rg@site.test", "j\xc3\xb6rg@site.test>local:j\xc3\xb6rg;"
		    "=ok 2.1.5" },
		{ "jo\xcc\x88rg@site.test", "=fail 5.1.1" },
		{ "k\xc3\xa4the@site.test", "\xe6\xb5\x8b@xn--bcher-kva.test>"
		    "mx://xn--bcher-kva.test;k@xn--bcher-kva.test>"
		    "mx://xn--bcher-kva.test;=ok 2.1.5" },
		{ "wide@site.test", "ann@site.test>local:ann;=defer 4.3.5" },
	};
	struct hb_conf *c = conf_of("domain site.test two.test\n"
	    "route .gw.test smtp://gw\nroute here.test local\n");
	const struct hb_conf *now = c;

	for (size_t n = 0; n < 2 * HB_ARRAY_LEN(rows); n++) {
		size_t i = n / 2;
		struct world w = { aliases, users, .got = HB_BUF_INIT(0),
			.async = n % 2 == 0 };

		expand(&now, rows[i].in, &w);
		tell_all(&w);
		hb_buf_add(&w.got, hb_span("", 1));
		if (strncmp((char *)w.got.p, rows[i].want,
			strlen(rows[i].want)) != 0)
			fail_msg("%s: %s", rows[i].in, w.got.p);
		hb_buf_free(&w.got);
	}
	hb_conf_free(&c);
}

/* A name without detail is looked up once as it is, and once without domain. */
static void
no_name_is_looked_up_twice(void **state)
{
	static const struct {
		const char *in;
		unsigned aliases, users;
	} rows[] = {
		{ "ann@site.test", 2, 1 },
		{ "ann+x@site.test", 4, 1 },
		{ "\"ann\"@site.test", 3, 1 }, /* quoted names differ */
		{ "root@site.test", 2 + 1 + 2, 1 }, /* and owner-root */
		{ "nosuch@site.test", 2 + 1, 1 },
		{ "postmaster@site.test", 2 + 1 + 1 + 2, 2 },
		{ "x@away.test", 0, 0 },
	};
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

		expand(&now, rows[i].in, &w);
		assert_int_equal(w.aliases_asked, rows[i].aliases);
		assert_int_equal(w.asked, rows[i].users);
		hb_buf_free(&w.got);
	}
	hb_conf_free(&c);
}

static void
run_walks(struct hb_conf *c, const struct pair *map,
    const char *const rows[][2], size_t n)
{
	const struct hb_conf *now = c;

	for (size_t i = 0; i < n; i++) {
		struct world w = { map, users, .got = HB_BUF_INIT(0) };

		expand(&now, rows[i][0], &w);
		hb_buf_add(&w.got, hb_span("", 1));
		if (strcmp((char *)w.got.p, rows[i][1]) != 0)
			fail_msg("%s: %s", rows[i][0], w.got.p);
		hb_buf_free(&w.got);
	}
}

/* The host's own names and literals need no line, and no DNS. */
static void
test_S_5_F_1_own_names_are_local(void **state)
{
	static const char *const rows[][2] = {
		{ "ann@mx.site.test", "ann@mx.site.test>local:ann;=ok 2.1.5" },
		{ "root@localhost", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "ann@LocalHost", "ann@LocalHost>local:ann;=ok 2.1.5" },
		{ "ann@localhost.localdomain",
		    "ann@localhost.localdomain>local:ann;=ok 2.1.5" },
		{ "ann@[127.0.0.1]", "ann@[127.0.0.1]>local:ann;=ok 2.1.5" },
		{ "ann@[ipv6:::1]", "ann@[ipv6:::1]>local:ann;=ok 2.1.5" },
		{ "ann@[192.0.2.7]", "ann@[192.0.2.7]>local:ann;=ok 2.1.5" },
		{ "ann@[ipv6:::ffff:127.0.0.1]",
		    "ann@[ipv6:::ffff:127.0.0.1]>local:ann;=ok 2.1.5" },
		{ "x@[127.0.0.1]", "=fail 5.1.1" },
		{ "x@[0.0.0.0]", "=fail 5.1.1" },
		{ "x@[192.0.2.8]", "x@[192.0.2.8]>smtp://hub.test;=ok 2.1.5" },
		{ "x@site.test.far.test",
		    "x@site.test.far.test>smtp://hub.test;=ok 2.1.5" },
	};
	struct hb_conf *c = conf_of("domain site.test\n"
	    "smarthost smtp://hub.test\nroute * smtp://hub.test\n");

	hb_here_set_interfaces(c, HB_SPAN("192.0.2.7\n"));
	run_walks(c, aliases, rows, HB_ARRAY_LEN(rows));
	hb_conf_free(&c);
}

struct map_rows {
	const struct pair *map;
	const char *const (*rows)[2];
	size_t n;
};

static const struct pair no_alias[] = { { NULL, NULL } };

/* postmaster, abuse and MAILER-DAEMON exist at every local domain. */
static void
test_S_5_names_that_exist(void **state)
{
	static const struct pair root[] = { { "root", "ann, postmaster" },
		{ NULL, NULL } };
	static const struct pair master[] = { { "postmaster", "abuse, bob" },
		{ NULL, NULL } };
	static const struct pair down[] = { { "postmaster", NULL },
		{ NULL, NULL } };
	static const char *const without[][2] = {
		{ "postmaster@localhost",
		    "postmaster@localhost>local:postmaster;=ok 2.1.5" },
		{ "Abuse@site.test",
		    "postmaster@site.test>local:postmaster;=ok 2.1.5" },
		{ "MAILER-DAEMON@mx.site.test",
		    "postmaster@mx.site.test>local:postmaster;=ok 2.1.5" },
		{ "webmaster@site.test", "=fail 5.1.1" },
	};
	static const char *const by_root[][2] = {
		{ "abuse@site.test", "ann@site.test>local:ann;"
		    "postmaster@site.test>local:postmaster;=ok 2.1.5" },
		{ "root@site.test", "ann@site.test>local:ann;"
		    "postmaster@site.test>local:postmaster;=ok 2.1.5" },
	};
	static const char *const by_master[][2] = {
		{ "mailer-daemon@site.test", "bob@site.test>local:bob;"
		    "abuse@site.test>local:postmaster;=ok 2.1.5" },
		{ "abuse@site.test", "abuse@site.test>local:postmaster;"
		    "bob@site.test>local:bob;=ok 2.1.5" },
	};
	static const char *const unknown[][2] = {
		{ "abuse@site.test", "=defer 4.3.0" },
	};
	static const struct map_rows all[] = {
		{ no_alias, without, HB_ARRAY_LEN(without) },
		{ root, by_root, HB_ARRAY_LEN(by_root) },
		{ master, by_master, HB_ARRAY_LEN(by_master) },
		{ down, unknown, HB_ARRAY_LEN(unknown) },
	};
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	struct world w = { no_alias, users, .got = HB_BUF_INIT(0) };

	for (size_t i = 0; i < HB_ARRAY_LEN(all); i++)
		run_walks(c, all[i].map, all[i].rows, all[i].n);
	assert_int_equal(exists(&now, "abuse@localhost", &w), HB_RESULT_OK);
	hb_conf_free(&c);
}

/* The accounts of the roles get no mail, whatever they are called. */
static void
test_A_13_own_accounts_are_unknown(void **state)
{
	static const char *const own[] = { "_hauberk@site.test",
		"_hauberkk@site.test", "_HAUBERKQ+x@localhost",
		"_hauberkw@site.test", "bob@site.test" };
	static const char *const there[] = { "_hauberk", "_hauberkk",
		"_hauberkq", "_hauberkw", "bob", "team", NULL };
	struct hb_conf *c = conf_of("domain site.test\nuser queue bob\n"
	    "user local team\n");
	const struct hb_conf *now = c;
	struct world w = { no_alias, there, .got = HB_BUF_INIT(0) };

	for (size_t i = 0; i < HB_ARRAY_LEN(own); i++) {
		print_message("%s\n", own[i]);
		assert_int_equal(exists(&now, own[i], &w), HB_RESULT_FAIL);
	}
	assert_int_equal(exists(&now, "team@site.test", &w), HB_RESULT_OK);
	hb_conf_free(&c);
}

/* Targets as people copy them out of header fields. */
static void
test_F_13_targets_as_header_addresses(void **state)
{
	static const struct pair map[] = {
		{ "a", "Ann Lee <ann@site.test>, bob (at home, mostly)" },
		{ "b", "<bob@away.test>, \"Last, First\" <x@away.test>" },
		{ "c", "|\"/bin/x -y, z\"" },
		{ "d", "\"| /bin/x \\\"-y\\\"\"" },
		{ "e", "ann <ann@site.test> bob" },
		{ "f", ":include:\"/list\"" },
		{ "g", "ann, (nobody else)" },
		{ "h", "x y" },
		{ NULL, NULL },
	};
	static const char *const rows[][2] = {
		{ "a@site.test", "ann@site.test>local:ann;"
		    "bob@site.test>local:bob;=ok 2.1.5" },
		{ "b@site.test", "bob@away.test>mx://away.test;"
		    "x@away.test>mx://away.test;=ok 2.1.5" },
		{ "c@site.test", "c@site.test>pipe:-:/bin/x -y, z;=ok 2.1.5" },
		{ "d@site.test",
		    "d@site.test>pipe:-:/bin/x \"-y\";=ok 2.1.5" },
		{ "e@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "f@site.test", "ann@site.test>local:ann;"
		    "bob@site.test>local:bob;far@away.test>mx://away.test;"
		    "=defer 4.3.5" },
		{ "g@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "h@site.test", "=defer 4.3.5" }, /* S-31 */
	};
	struct hb_conf *c = conf_of("domain site.test\n");

	run_walks(c, map, rows, HB_ARRAY_LEN(rows));
	hb_conf_free(&c);
}

/* Lists nest, and may name each other.  F-24: a list's file may begin with a
 * byte order mark. */
static void
test_E_2_F_24_lists_in_lists(void **state)
{
	static const struct pair map[] = {
		{ "outer", ":include:/outer" },
		{ "owner-outer", "ann" },
		{ "deep", ":include:/deep/0" },
		{ "wide", ":include:/wide" },
		{ "gap", ":include:/gap" },
		{ NULL, NULL },
	};
	static const char *const rows[][2] = {
		{ "outer@site.test",
		    "ann@site.test>local:ann^owner-outer@site.test;"
		    "bob@site.test>local:bob^owner-outer@site.test;"
		    "=ok 2.1.5" },
		{ "deep@site.test", "=defer 4.4.6" },
		{ "wide@site.test", "=defer 4.3.0" },
		{ "gap@site.test", "=defer 4.3.0" },
	};
	struct hb_conf *c = conf_of("domain site.test\n");

	files_read = 0;
	run_walks(c, map, rows, 1);
	assert_int_equal(files_read, 2);
	run_walks(c, map, rows + 1, 1);
	assert_in_range(files_read, 3, 2 + HB_MAX_ALIAS_DEPTH);
	files_read = 0;
	run_walks(c, map, rows + 2, 1);
	assert_int_equal(files_read, HB_MAX_INCLUDES);
	run_walks(c, map, rows + 3, 1);
	hb_conf_free(&c);
}

/* The longest path, of a list whose alias has an owner, fits its records. */
static void
test_F_10_long_names(void **state)
{
	char name[HB_MAX_PATH], owner[HB_MAX_PATH + 8], in[HB_MAX_PATH + 16];
	const struct pair map[] = { { name, "ann" }, { owner, "ann" },
		{ NULL, NULL } };
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	struct world w = { map, users, .got = HB_BUF_INIT(0) };

	memset(name, 'x', sizeof(name));
	name[HB_MAX_PATH - 2 - strlen("@site.test")] = '\0';
	snprintf(owner, sizeof(owner), "owner-%s", name);
	snprintf(in, sizeof(in), "%s@site.test", name);
	expand(&now, in, &w);
	assert_span(hb_buf_span(&w.got), "ann@site.test>local:ann;=ok 2.1.5");
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

/* smtp-port is where a literal is served too. */
static void
port_of_a_literal(void **state)
{
	struct hb_conf *c = conf_of("domain site.test\nlab on\n"
	    "smtp-port 2525\n");
	const struct hb_conf *now = c;
	struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

	expand(&now, "x@[192.0.2.1]", &w);
	assert_true(hb_span_eq(hb_buf_span(&w.got), HB_SPAN(
	    "x@[192.0.2.1]>smtp://192.0.2.1:2525;=ok 2.1.5")));
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

static void
a_walk_waits_for_an_answer(void **state)
{
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	struct world w = { aliases, users, .got = HB_BUF_INIT(0),
		.async = true };

	expand(&now, "root@site.test", &w);
	assert_int_equal(w.got.n, 0);
	tell_all(&w);
	assert_span(hb_buf_span(&w.got),
	    "ann@site.test>local:ann;=ok 2.1.5");
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

static void
test_A_2_a_long_walk_gives_way(void **state)
{
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	const struct rt_item *items;
	struct world w = { aliases, users, .many = HB_MAX_ALIAS_TARGETS };
	size_t parts = 0, n;

	w.walk = rt_expansion_new(&now, HB_SPAN("many@site.test"));
	assert_int_equal(run(&w), RT_DONE);
	assert_int_equal(rt_expansion_outcome(w.walk)->result, HB_RESULT_OK);
	assert_int_equal(rt_expansion_items(w.walk, 0, &items), 0);
	for (; (n = rt_expansion_items(w.walk, 300, &items)) > 0; parts++)
		w.items += n;
	assert_int_equal(parts, (HB_MAX_ALIAS_TARGETS + 299) / 300);
	assert_int_equal(w.items, HB_MAX_ALIAS_TARGETS);
	assert_in_range(w.most, 1, 500);
	assert_true(w.turns > HB_MAX_ALIAS_TARGETS / 500);
	rt_expansion_free(&w.walk);
	w.many++;
	w.got = HB_BUF_INIT(0);
	expand(&now, "many@site.test", &w);
	assert_span(hb_buf_span(&w.got), "=defer 4.4.6");
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

static size_t owned;

static void
count_owned(struct world *w, const struct rt_item *items, size_t n,
    const struct hb_outcome *o)
{
	assert_int_equal(o->result, HB_RESULT_OK);
	assert_int_equal(n, 8);
	for (size_t i = 0; i < n; i++)
		owned += hb_span_eq(items[i].owner,
		    HB_SPAN("owner-broken@site.test"));
}

/* The owner is told of a broken line of his list, nobody else. */
static void
test_S_22_broken_lines_are_the_owners(void **state)
{
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

	w.done = count_owned;
	expand(&now, "broken@site.test", &w);
	assert_int_equal(owned, 8);
	hb_conf_free(&c);
}

static size_t by_nest, by_friends;

static void
count_owners(struct world *w, const struct rt_item *items, size_t n,
    const struct hb_outcome *o)
{
	assert_int_equal(o->result, HB_RESULT_OK);
	for (size_t i = 0; i < n; i++) {
		by_nest += hb_span_eq(items[i].owner,
		    HB_SPAN("owner-nest@site.test"));
		by_friends += hb_span_eq(items[i].owner,
		    HB_SPAN("owner-friends@site.test"));
		assert_true((items[i].flags & HB_RCPT_LIST) != 0);
	}
}

/* A long list within a list: its members have the owner of the outer one, but
 * for those of a member that is a list with an owner of its own.  Some users
 * are in several. */
static void
test_E_2_A_2_a_long_list_in_a_list_has_its_owner(void **state)
{
	static const struct pair map[] = {
		{ "nest", ":include:/nest" }, { "owner-nest", "v1" },
		{ "friends", "v3, u5, :include:/many" },
		{ "owner-friends", "v2" },
		{ NULL, NULL },
	};
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	struct world w = { map, users, .got = HB_BUF_INIT(0), .many = 1000 };

	files_read = 0;
	w.done = count_owners;
	expand(&now, "nest@site.test", &w);
	assert_int_equal(files_read, 2);
	assert_int_equal(w.items, 1003);
	assert_int_equal(by_nest, 1002);
	assert_int_equal(by_friends, 1);
	assert_true(w.turns > 5);
	assert_in_range(w.most, 1, 500);
	hb_conf_free(&c);
}

/* A reload while a walk waits: what is new counts, what is old is gone. */
static void
a_walk_outlives_its_configuration(void **state)
{
	struct hb_conf *c = conf_of("domain site.test\n");
	const struct hb_conf *now = c;
	struct world w = { aliases, users, .got = HB_BUF_INIT(0),
		.async = true };

	expand(&now, "ann@site.test", &w);
	assert_int_equal(w.got.n, 0);
	hb_conf_free(&c);
	now = c = conf_of("domain site.test\ndeliver lmtp lmtp:/run/lmtp\n");
	tell_all(&w);
	assert_span(hb_buf_span(&w.got),
	    "ann@site.test>lmtp:/run/lmtp;=ok 2.1.5");
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

/* Is the mail read that goes to these ROUTES? */
static bool
is_read(const char *conf, bool accounts, bool postmaster,
    const char *const *routes, enum hb_result result)
{
	struct hb_conf *c = conf_of(conf);
	struct rt_readers who = { accounts, postmaster };
	struct hb_outcome outcome = { .result = result };
	struct rt_item items[4] = { 0 };
	size_t n = 0;
	const char *why;

	for (; routes[n] != NULL; n++)
		items[n].route = hb_span_str(routes[n]);
	why = rt_why_unread(c, &who, items, n, &outcome);
	hb_conf_free(&c);
	return why == NULL;
}

static void
test_S_6_who_reads_roots_mail(void **state)
{
	static const struct {
		const char *conf;
		bool accounts, postmaster;
		const char *routes[3];
		enum hb_result result;
		bool read;
	} rows[] = {
		{ "", true, false, { "local:root" }, HB_RESULT_OK, false },
		{ "", true, false, { "local:alice" }, HB_RESULT_OK, true },
		{ "", true, false, { "mx:far.test" }, HB_RESULT_OK, true },
		{ "", true, false, { "local:root", "local:alice" },
		    HB_RESULT_OK, true },
		{ "", true, false, { "local:postmaster" }, HB_RESULT_OK,
		    false },
		{ "", true, true, { "local:postmaster" }, HB_RESULT_OK, true },
		/* all mailboxes belong to one account */
		{ "", false, false, { "local:root" }, HB_RESULT_OK, true },
		{ "user local mail\n", true, false, { "local:root" },
		    HB_RESULT_OK, true },
		{ "deliver command /bin/x %u\n", true, false,
		    { "local:root" }, HB_RESULT_OK, true },
		{ "", false, false, { "error:5.1.6 gone" }, HB_RESULT_OK,
		    false },
		{ "", false, false, { NULL }, HB_RESULT_FAIL, false },
		/* another record tells of that */
		{ "", true, false, { NULL }, HB_RESULT_DEFER, true },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(is_read(rows[i].conf, rows[i].accounts,
		    rows[i].postmaster, rows[i].routes, rows[i].result),
		    rows[i].read);
}

static void
existence_does_not_follow_targets(void **state)
{
	static const struct {
		const char *in;
		int want;
	} rows[] = {
		{ "ann@site.test", HB_RESULT_OK },
		{ "lost@site.test", HB_RESULT_OK },
		{ "ping@site.test", HB_RESULT_OK },
		{ "anyone@two.test", HB_RESULT_OK },
		{ "PostMaster", HB_RESULT_OK },
		{ "temp@site.test", HB_RESULT_DEFER },
		{ "nosuch@site.test", HB_RESULT_FAIL },
		{ "a/b@site.test", HB_RESULT_FAIL },
	};
	struct hb_conf *c = conf_of("domain site.test two.test\n");
	const struct hb_conf *now = c;
	struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		assert_int_equal(exists(&now, rows[i].in, &w), rows[i].want);
	}
	w.users_down = true;
	assert_int_equal(exists(&now, "nosuch@site.test", &w), HB_RESULT_DEFER);
	hb_conf_free(&c);
}

static void
write_file(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* A-11, E-4 too */
static void
relaying_and_senders(void **state)
{
	static const struct {
		const char *client, *user, *sender, *rcpt;
		unsigned listen;
		unsigned rcpt_code, mail_code;
	} rows[] = {
		{ "127.0.0.1", "", "a@x", "b@far.test", 0, 250, 250 },
		{ "192.0.2.1", "", "a@x", "b@far.test", 0, 550, 250 },
		{ "192.0.2.1", "", "a@x", "b@partner.test", 0, 250, 250 },
		{ "192.0.2.1", "ann", "ann@site.test", "b@far.test", 1, 250, 250 },
		{ "192.0.2.1", "ann", "ann+x@site.test", "b@far.test", 1, 250, 250 },
		{ "192.0.2.1", "ann", "bob@site.test", "b@far.test", 1, 250, 550 },
		{ "192.0.2.1", "ann", "ann@else.test", "b@far.test", 1, 250, 550 },
		{ "192.0.2.1", "ann@else.test", "Ann@else.test", "b@far.test", 1, 250, 250 },
		{ "192.0.2.1", "ann", "", "b@far.test", 1, 250, 250 },
		{ "garbage", "", "a@x", "b@far.test", 0, 550, 250 },
		/* E-4 */
		{ "192.0.2.1", "", "a@x", "b@sub.Partner.test", 0, 250, 250 },
		{ "192.0.2.1", "", "a@x", "b@xpartner.test", 0, 550, 250 },
		/* */
		{ "192.0.2.1", "", "a@x", "x%far.test@partner.test", 0, 550, 250 },
		{ "192.0.2.1", "", "a@x", "far.test!x@partner.test", 0, 550, 250 },
		{ "192.0.2.1", "", "a@x", "\"x@far.test\"@partner.test", 0, 550, 250 },
		{ "192.0.2.1", "", "a@x", "\"@far.test:x\"@a.partner.test", 0, 550, 250 },
		{ "127.0.0.1", "", "a@x", "x%far.test@partner.test", 0, 250, 250 },
	};
	struct hb_conf *c = conf_of("domain site.test\n"
	    "relay-domain partner.test\nlisten 127.0.0.1:25 smtp\n"
	    "listen 127.0.0.1:587 submission\n");

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct ipc_check q = { .client = hb_span_str(rows[i].client),
			.user = hb_span_str(rows[i].user),
			.sender = hb_span_str(rows[i].sender),
			.rcpt = hb_span_str(rows[i].rcpt),
			.listen = rows[i].listen };

		assert_int_equal(rt_check_relay(c, &q).code, rows[i].rcpt_code);
		assert_int_equal(rt_check_sender(c, &q, RT_NOTFOUND,
		    HB_SPAN_NONE).code,
		    rows[i].mail_code);
		q.routed = 1; /* <@far.test:b@partner.test> */
		assert_int_equal(rt_check_relay(c, &q).code,
		    strcmp(rows[i].client, "127.0.0.1") != 0 &&
			rows[i].user[0] == '\0' ? 550 : 250);
	}
	hb_conf_free(&c);
}

/* With a map it alone decides; the most specific line counts. */
static void
test_SUB_03_sender_login_map(void **state)
{
	static const struct {
		const char *user, *sender;
		unsigned listen, code;
	} rows[] = {
		{ "ann", "ann@site.test", 1, 250 },
		{ "ANN", "Ann@Site.test", 1, 250 },
		{ "bob", "ann@site.test", 1, 550 },
		{ "bob", "info@site.test", 1, 250 },
		{ "ann", "info@site.test", 1, 250 },
		{ "an", "info@site.test", 1, 550 },
		/* what is its own without the map */
		{ "bob", "bob@site.test", 1, 550 },
		{ "bob@far.test", "bob@far.test", 1, 550 },
		{ "root", "x@far.test", 1, 250 },
		{ "root", "ann@site.test", 1, 550 },
		{ "carol", "", 1, 250 },
		{ "bob", "ann@site.test", 0, 250 },
		{ "", "ann@site.test", 1, 250 },
	};
	char file[] = "/tmp/test_router.XXXXXX", conf[256];
	int fd = mkstemp(file);
	static struct hb_conf *c; /* it lives as long as the process */
	static struct rt_lookup *k;

	assert_true(fd >= 0 && close(fd) == 0);
	write_file(file, "ann@site.test ann\ninfo@site.test ann bob\n"
	    "@far.test root\n");
	snprintf(conf, sizeof(conf), "domain site.test\nlisten 127.0.0.1:25 smtp\n"
	    "listen 127.0.0.1:587 submission\nsender-login text:%s\n", file);
	c = conf_of(conf);
	k = rt_lookup_new(hb_loop_new(), c);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct ipc_check q = { .user = hb_span_str(rows[i].user),
			.sender = hb_span_str(rows[i].sender),
			.listen = rows[i].listen };
		struct hb_buf logins = HB_BUF_INIT(0);
		enum rt_found found = rt_lookup_sender(k, q.sender, &logins);

		assert_int_equal(rt_check_sender(c, &q, found,
		    hb_buf_span(&logins)).code, rows[i].code);
		assert_int_equal(rt_check_sender(c, &q, RT_TEMP,
		    HB_SPAN_NONE).code, rows[i].sender[0] == '\0' ||
		    rows[i].user[0] == '\0' || rows[i].listen == 0 ? 250
							       : 451);
		hb_buf_free(&logins);
	}
	assert_int_equal(unlink(file), 0);
}

/* --- children --- */

struct answers {
	struct hb_loop *loop;
	int want, n;
	enum rt_found last;
};

static void
on_found(void *ctx, enum rt_found found)
{
	struct answers *a = ctx;

	a->last = found;
	if (++a->n == a->want)
		hb_loop_stop(a->loop);
}

/* T-18: a password of one character, too. */
static void
children_answer(void **state)
{
	/* of `openssl passwd -6 -salt saltsalt secret` */
	struct hb_span hash = HB_SPAN("$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRst"
	    "iNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1");
	struct hb_span one_letter = HB_SPAN("$6$saltsalt$gWPQEB1wLlJ2/vObK44YajUeGk97"
	    "TN96U9M74EfNaKblbYY1nLynU0gUL.7rlx0PEeUGmONmDZCIR/X3CJyvy1");
	const struct {
		const char *user; /* NULL: a password is asked for */
		struct rt_password q;
		enum rt_found found;
	} rows[] = {
		{ "root", .found = RT_FOUND },
		{ "no-such-user", .found = RT_NOTFOUND },
		{ NULL, { .hash = hash, .password = HB_SPAN("wrong") },
		    RT_NOTFOUND },
		{ NULL, { .hash = hash, .password = HB_SPAN("secret") },
		    RT_FOUND },
		/* one character is a password, and no beginning of another */
		{ NULL, { .hash = hash, .password = HB_SPAN("s") },
		    RT_NOTFOUND },
		{ NULL, { .hash = one_letter, .password = HB_SPAN("s") },
		    RT_FOUND },
		/* the usual hash is never right */
		{ NULL, { .usual = hash, .password = HB_SPAN("secret") },
		    RT_NOTFOUND },
	};
	struct answers a = { .loop = hb_loop_new(), .want = 1 };
	struct rt_pool *p = rt_pool_new(a.loop, 2, 5000);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		a.n = 0;
		assert_int_equal(rows[i].user != NULL
		    ? rt_pool_user(p, 0, hb_span_str(rows[i].user), on_found,
			  &a)
		    : rt_pool_password(p, 0, &rows[i].q, on_found, &a),
		    RT_LATER);
		assert_int_equal(hb_loop_run(a.loop), 0);
		assert_int_equal(a.last, rows[i].found);
	}
	rt_pool_free(&p);
	hb_loop_free(&a.loop);
}

/* What crypt_r was asked in a child, in place of libcrypt's. */
static char (*asked)[2][512];

char *
crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
	size_t at;

	if (asked == NULL)
		return crypt_rn(phrase, setting, data, sizeof(*data));
	at = (*asked)[0][0] != '\0';
	if (hb_span_copy(hb_span_str(setting), (*asked)[at],
		sizeof((*asked)[at])) < 0 || setting[0] != '$')
		return NULL;
	snprintf(data->output, sizeof(data->output), "%s",
	    strstr(setting, "right") != NULL ? setting : "$other");
	return data->output;
}

/* A login that does not exist, or is locked, costs what most of the file
 * cost: as many calls of crypt, with the method and cost of the most. */
static void
test_A_8_nobody_costs_what_the_file_costs(void **state)
{
	static const struct {
		const char *user, *asked[2];
		enum rt_found found;
	} rows[] = {
		{ "alice", { "$6$salt$right", "" }, RT_FOUND },
		{ "bob", { "$2b$12$saltbob", "" }, RT_NOTFOUND },
		{ "nobody", { "$2b$12$saltbob", "" }, RT_NOTFOUND },
		{ "locked", { "!", "$2b$12$saltbob" }, RT_NOTFOUND },
		{ "none", { "$2b$12$saltbob", "" }, RT_NOTFOUND },
	};
	char file[] = "/tmp/test_router.XXXXXX", conf[128];
	int fd = mkstemp(file);
	static struct hb_conf *c; /* it lives as long as the process */
	static struct rt_lookup *k;
	static struct hb_loop *loop;

	loop = hb_loop_new();
	assert_true(fd >= 0 && close(fd) == 0);
	write_file(file, "alice: $6$salt$right\nbob: $2b$12$saltbob\n"
	    "carol: {BLF-CRYPT}$2b$12$saltcarol:1:2\ndave: $2b$05$saltdave\n"
	    "locked: !\nnone: :x\n");
	snprintf(conf, sizeof(conf), "auth passwd-file %s", file);
	asked = mmap(NULL, sizeof(*asked), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(asked, MAP_FAILED);
	c = conf_of(conf);
	k = rt_lookup_new(loop, c);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct answers a = { .loop = loop, .want = 1 };

		struct ipc_auth m = { .user = hb_span_str(rows[i].user),
			.password = HB_SPAN("secret") };

		memset(asked, 0, sizeof(*asked));
		assert_int_equal(rt_lookup_password(k, 0, &m, NULL, on_found,
		    &a), RT_LATER);
		assert_int_equal(a.n, 0);
		assert_int_equal(hb_loop_run(loop), 0);
		assert_string_equal((*asked)[0], rows[i].asked[0]);
		assert_string_equal((*asked)[1], rows[i].asked[1]);
		assert_int_equal(a.last, rows[i].found);
	}
	assert_int_equal(unlink(file), 0);
}

/* PASSWORD of USER, told by a child. */
static enum rt_found
password_found(struct rt_lookup *k, struct hb_loop *loop, const char *user,
    const char *password)
{
	struct answers a = { .loop = loop, .want = 1 };
	struct ipc_auth m = { .user = hb_span_str(user),
		.password = hb_span_str(password) };

	assert_int_equal(rt_lookup_password(k, 0, &m, NULL, on_found, &a),
	    RT_LATER);
	assert_int_equal(hb_loop_run(loop), 0);
	return a.last;
}

/* Nobody's login is wrong while the file was never read. */
static void
test_S_30_passwords_that_cannot_be_checked(void **state)
{
	struct hb_loop *loop = hb_loop_new();
	struct ipc_auth m = { .user = HB_SPAN("bob"),
		.password = HB_SPAN("secret") };
	char file[] = "/tmp/test_router.XXXXXX", conf[128];
	static struct hb_conf *c; /* it lives as long as the process */
	static struct rt_lookup *k;
	int fd = mkstemp(file);

	assert_true(fd >= 0 && close(fd) == 0);
	snprintf(conf, sizeof(conf), "auth passwd-file %s", file);
	c = conf_of(conf);
	assert_int_equal(unlink(file), 0);
	k = rt_lookup_new(loop, c);
	assert_int_equal(rt_lookup_password(k, 0, &m, NULL, on_found, NULL),
	    RT_TEMP);
}

#define VERIFIER "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                     \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"                        \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

/* A verifier serves PLAIN too; a crypt hash has none for SCRAM, and then looks
 * like an unknown login; so does a locked one. */
static void
test_AUTH_04_verifiers_and_hashes(void **state)
{
	static const char *const none[] = { "bob", "nobody", "locked", "NoBody" };
	struct hb_scram_verifier v, again;
	char file[] = "/tmp/test_router.XXXXXX", conf[128];
	int fd = mkstemp(file);
	static struct hb_conf *c; /* it lives as long as the process */
	static struct rt_lookup *k;
	static struct hb_loop *loop;

	loop = hb_loop_new();
	asked = NULL;
	assert_true(fd >= 0 && close(fd) == 0);
	write_file(file, "bob: $6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRst"
	    "iNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1\n");
	snprintf(conf, sizeof(conf), "auth passwd-file %s", file);
	c = conf_of(conf);
	k = rt_lookup_new(loop, c);
	assert_false(rt_lookup_scram(k));
	assert_int_equal(rt_lookup_verifier(k, HB_SPAN("bob"), &v), RT_TEMP);
	write_file(file, "bob: $6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRst"
	    "iNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1\n"
	    "alice:" VERIFIER "\ncarol: " VERIFIER ":x:y\nlocked: !\n"
	    "broken: {SCRAM-SHA-256}4096,x\n");
	assert_true(rt_lookup_scram(k));
	assert_int_equal(rt_lookup_verifier(k, HB_SPAN("Alice"), &v), RT_FOUND);
	assert_int_equal(v.iterations, 4096);
	assert_int_equal(rt_lookup_verifier(k, HB_SPAN("carol"), &v), RT_FOUND);
	assert_int_equal(password_found(k, loop, "alice", "pencil"), RT_FOUND);
	assert_int_equal(password_found(k, loop, "alice", "x"), RT_NOTFOUND);
	assert_int_equal(password_found(k, loop, "bob", "secret"), RT_FOUND);
	assert_int_equal(password_found(k, loop, "bob", "pencil"), RT_NOTFOUND);
	assert_int_equal(password_found(k, loop, "nobody", "pencil"),
	    RT_NOTFOUND);
	assert_int_equal(password_found(k, loop, "broken", "x"), RT_NOTFOUND);
	for (size_t i = 0; i < HB_ARRAY_LEN(none); i++) {
		assert_int_equal(rt_lookup_verifier(k, hb_span_str(none[i]),
		    &again), RT_NOTFOUND);
		assert_int_equal(again.iterations, v.iterations);
		assert_int_equal(again.n_salt, v.n_salt);
		assert_memory_not_equal(again.stored, v.stored, HB_SHA256);
	}
	assert_int_equal(rt_lookup_verifier(k, HB_SPAN("nobody"), &v),
	    RT_NOTFOUND);
	assert_memory_equal(&v, &again, sizeof(v));
	assert_int_equal(unlink(file), 0);
}

static void
usual_hashes(void **state)
{
	static const struct {
		const char *hashes[4], *want;
	} rows[] = {
		{ { "$6$a$b", "$6$c$d", "$2b$12$e" }, "$6$a$b" },
		{ { "$6$a$b", "$6$rounds=9$a$b", "$6$rounds=9$c$d" },
		    "$6$rounds=9$a$b" },
		{ { "$2b$05$a", "$2b$12$b", "$2b$12$c" }, "$2b$12$b" },
		{ { "$y$j9T$a$b", "$y$jCT$a$b", "$y$jCT$c$d" }, "$y$jCT$a$b" },
		{ { "{SHA512-CRYPT}$6$a$b:x" }, "$6$a$b" },
		{ { "{SCRAM-SHA-256}9,YQ==,x,y", "$6$a$b" }, "$6$a$b" },
		{ { "", "!", "x", "$" }, "" },
		{ { "$", "$$", "$$$", "$6$a$b" }, "$6$a$b" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct rt_usual u = { .n = 0 };

		for (size_t j = 0; j < 4 && rows[i].hashes[j] != NULL; j++)
			rt_usual_count(&u, hb_span_str(rows[i].hashes[j]));
		assert_span(rt_usual_hash(&u), rows[i].want);
	}
}

static void
stop_loop(void *ctx)
{
	hb_loop_stop(ctx);
}

/* No child could be started for a moment: who waits is not forgotten. */
static void
children_start_when_they_can(void **state)
{
	struct answers a = { .loop = hb_loop_new(), .want = 3 };
	struct rt_pool *p = rt_pool_new(a.loop, 2, 5000);
	struct hb_timer *t = hb_timer_new(a.loop, stop_loop, a.loop);
	struct rlimit was, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < a.want; i++)
		assert_int_equal(rt_pool_user(p, 0, HB_SPAN("root"), on_found,
	    &a), RT_LATER);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	hb_timer_set(t, 3000);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.n, 3);
	assert_int_equal(a.last, RT_FOUND);
	rt_pool_free(&p);
	hb_timer_free(&t);
	hb_loop_free(&a.loop);
}

/* What a pool by the parent asks for; the test is the parent. */
struct parent {
	struct rt_pool *pool;
	uint32_t refs[8];
	unsigned n;
};

static void
on_start(void *ctx, uint32_t ref)
{
	struct parent *p = ctx;

	assert_true(p->n < HB_ARRAY_LEN(p->refs));
	p->refs[p->n++] = ref;
}

/* Gives the pool the process REF; its end of the channel. */
static int
bring(struct parent *p, uint32_t ref)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	rt_pool_child(p->pool, ref, fd[0]);
	return fd[1];
}

static void
answer_pam(int fd, enum rt_found found, const char *login)
{
	struct rt_work_done done = { .result = found,
		.login = hb_span_str(login) };
	struct hb_buf out = HB_BUF_INIT(0);

	assert_int_equal(rt_work_done_put(&done, &out), 0);
	assert_int_equal(write(fd, out.p + out.off, out.n), (int)out.n);
	hb_buf_free(&out);
	close(fd);
}

static const struct ipc_auth pam_login = { .user = HB_SPAN_INIT("Alice"),
	.password = HB_SPAN_INIT("secret"),
	.client = HB_SPAN_INIT("192.0.2.1") };

/* One question is one process of the parent's: it gets login, password and
 * client, its answer has the name that counts, and then it is let go. */
static void
test_AUTH_01_pam_by_the_parent(void **state)
{
	struct answers a = { .loop = hb_loop_new(), .want = 1 };
	struct parent p = { .pool = rt_pool_new(a.loop, 2, 5000) };
	struct hb_buf user = HB_BUF_INIT(0);
	unsigned char buf[RT_WORK_MAX];
	struct rt_work w;
	ssize_t n;
	int fd;

	rt_pool_by_parent(p.pool, on_start, &p);
	for (int i = 0; i < 2; i++) {
		a.n = 0;
		assert_int_equal(rt_pool_pam(p.pool, 0, &pam_login, &user,
		    on_found, &a), RT_LATER);
		assert_int_equal(p.n, i + 1);
		fd = bring(&p, p.refs[i]);
		n = read(fd, buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(hb_tlv_decode(&rt_work_record,
		    hb_span(buf, (size_t)n), &w), 0);
		assert_true(hb_span_eq(w.name, pam_login.user));
		assert_true(hb_span_eq(w.password, pam_login.password));
		assert_true(hb_span_eq(w.client, pam_login.client));
		answer_pam(fd, i == 0 ? RT_FOUND : RT_NOTFOUND,
		    i == 0 ? "alice" : "");
		assert_int_equal(hb_loop_run(a.loop), 0);
		assert_int_equal(a.last, i == 0 ? RT_FOUND : RT_NOTFOUND);
		assert_true(hb_span_eq(hb_buf_span(&user), HB_SPAN("alice")));
	}
	rt_pool_free(&p.pool);
	hb_buf_free(&user);
	hb_loop_free(&a.loop);
}

/* None that starts, one that ends without an answer, one that answers nonsense,
 * one that is silent: no password was wrong; and who comes too late, or was
 * never asked for, is hung up on.  There are never more than the pool has. */
static void
test_AUTH_03_pam_that_fails_is_temporary(void **state)
{
	struct answers a = { .loop = hb_loop_new(), .want = 3 };
	struct parent p = { .pool = rt_pool_new(a.loop, 3, 200) };
	struct hb_buf user = HB_BUF_INIT(0);
	char one;
	int fd;

	rt_pool_by_parent(p.pool, on_start, &p);
	for (int i = 0; i < 4; i++)
		assert_int_equal(rt_pool_pam(p.pool, 0, &pam_login, &user,
		    on_found, &a), RT_LATER);
	assert_int_equal(p.n, 3); /* the fourth waits */
	rt_pool_child(p.pool, p.refs[0], -EAGAIN);
	assert_int_equal(a.n, 1);
	assert_int_equal(p.n, 4);
	close(bring(&p, p.refs[1]));
	fd = bring(&p, p.refs[2]);
	assert_int_equal(write(fd, "\x01\x05", 2), 2);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.n, 3);
	close(fd);
	a.want = 4;
	assert_int_equal(hb_loop_run(a.loop), 0); /* the fourth is late */
	assert_int_equal(a.last, RT_TEMP);
	fd = bring(&p, p.refs[3]);
	assert_int_equal(read(fd, &one, 1), 0);
	close(fd);
	fd = bring(&p, 0);
	assert_int_equal(read(fd, &one, 1), 0);
	close(fd);
	assert_int_equal(user.n, 0);
	rt_pool_free(&p.pool);
	hb_loop_free(&a.loop);
}

/* A listener that asks without end waits for itself: who comes behind it is
 * answered after one of its questions, not after all. */
static void
test_A_6_each_listener_has_its_turn(void **state)
{
	struct hb_loop *loop = hb_loop_new();
	struct rt_pool *p = rt_pool_new(loop, 1, 60000);
	struct answers flood = { .loop = loop, .want = -1 },
		       other = { .loop = loop, .want = 1 };
	int refused = 0;

	for (int i = 0; i < 2000; i++)
		refused += rt_pool_user(p, 3, HB_SPAN("root"), on_found,
		    &flood) == RT_TEMP;
	/* one is asked, a thousand wait, the others are told at once */
	assert_int_equal(refused, 999);
	assert_int_equal(flood.n, 0);
	assert_int_equal(rt_pool_user(p, 1, HB_SPAN("root"), on_found,
	    &other), RT_LATER);
	assert_int_equal(hb_loop_run(loop), 0);
	assert_int_equal(other.last, RT_FOUND);
	assert_true(flood.n <= 3);
	rt_pool_free(&p);
	assert_int_equal(flood.n, 2000 - 999);
	hb_loop_free(&loop);
}

/* The line that counts, for a person. */
static void
rules_that_decide(void **state)
{
	static const struct {
		const char *conf, *domain, *want;
	} rows[] = {
		{ "domain a.test", "a.test", "domain a.test" },
		{ "domain a.test", "b.test", "" },
		{ "domain a.test", "", "" },
		{ "smarthost smtp://hub.test", "b.test",
		    "smarthost smtp://hub.test" },
		{ "smarthost smtp://hub.test\nroute .b.test mx://c.test",
		    "x.b.test", "route .b.test mx://c.test" },
		{ "domain a.test\nroute a.test smtp://hub.test", "a.test",
		    "domain a.test" },
		{ "route * local", "b.test", "route * local" },
		{ "route * local", "", "" },
		{ "route * mx://c.test", "localhost", "this host" },
		{ "domain a.test", "mx.site.test", "this host" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf *c = conf_of(rows[i].conf);
		struct hb_buf rule = HB_BUF_INIT(0);

		rt_rule(c, hb_span_str(rows[i].domain), &rule);
		assert_span(hb_buf_span(&rule), rows[i].want);
		hb_buf_free(&rule);
		hb_conf_free(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks),
		cmocka_unit_test(no_name_is_looked_up_twice),
		cmocka_unit_test(test_S_5_F_1_own_names_are_local),
		cmocka_unit_test(test_S_5_names_that_exist),
		cmocka_unit_test(test_A_13_own_accounts_are_unknown),
		cmocka_unit_test(test_F_13_targets_as_header_addresses),
		cmocka_unit_test(test_E_2_F_24_lists_in_lists),
		cmocka_unit_test(test_F_10_long_names),
		cmocka_unit_test(port_of_a_literal),
		cmocka_unit_test(a_walk_waits_for_an_answer),
		cmocka_unit_test(
		    test_E_2_A_2_a_long_list_in_a_list_has_its_owner),
		cmocka_unit_test(a_walk_outlives_its_configuration),
		cmocka_unit_test(test_A_2_a_long_walk_gives_way),
		cmocka_unit_test(test_S_22_broken_lines_are_the_owners),
		cmocka_unit_test(test_S_6_who_reads_roots_mail),
		cmocka_unit_test(existence_does_not_follow_targets),
		cmocka_unit_test(rules_that_decide),
		cmocka_unit_test(relaying_and_senders),
		cmocka_unit_test(children_answer),
		cmocka_unit_test(test_SUB_03_sender_login_map),
		cmocka_unit_test(test_S_30_passwords_that_cannot_be_checked),
		cmocka_unit_test(test_AUTH_04_verifiers_and_hashes),
		cmocka_unit_test(usual_hashes),
		cmocka_unit_test(test_A_8_nobody_costs_what_the_file_costs),
		cmocka_unit_test(children_start_when_they_can),
		cmocka_unit_test(test_A_6_each_listener_has_its_turn),
		cmocka_unit_test(test_AUTH_01_pam_by_the_parent),
		cmocka_unit_test(test_AUTH_03_pam_that_fails_is_temporary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
