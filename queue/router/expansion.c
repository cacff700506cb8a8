/* Expansion of one recipient.  Floor 2. */
#include "queue/router/expansion.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/proto/address.h"
#include "common/proto/addrlist.h"
#include "common/proto/idna.h"
#include "common/proto/maptext.h"
#include "common/proto/route.h"

/* An address or other target that is to be walked. */
struct step {
	STAILQ_ENTRY(step) link;
	struct hb_span text;
	struct hb_span owner; /* return path of the list it came from */
	struct hb_span include; /* a list's file, whose lines are walked */
	unsigned depth;
	bool final; /* "\name": no aliases */
};

/* A list's file that is being read. */
struct source {
	const struct step *list;
	struct hb_buf content;
	struct hb_span rest, line; /* of it what is not read yet */
};

struct seen {
	UT_hash_handle hh;
	struct hb_span text;
};

/* What a local address is looked up as, most exact first. */
struct names {
	struct hb_span full; /* local@domain */
	struct hb_span local, bare, domain;
};

/* What the step in work must know next, in this order but for what it finds. */
enum look {
	LOOK_FULL, /* its alias, by several names */
	LOOK_LOCAL,
	LOOK_BARE_FULL,
	LOOK_BARE,
	LOOK_OWNER, /* of the alias that was found */
	LOOK_USER,
	LOOK_ANYBODY, /* the domain's alias for all others */
	LOOK_ROLE, /* the alias of who has the mail of a role */
	LOOK_INCLUDE,
	LOOK_NOTHING
};

struct rt_expansion {
	const struct hb_conf *const *conf; /* a reload replaces it */
	struct hb_arena *arena;
	STAILQ_HEAD(, step) todo;
	struct step *at; /* in work, when look is not LOOK_NOTHING */
	enum look look;
	struct names names; /* of it */
	struct hb_span alias; /* of its names the one with an alias */
	struct hb_buf targets, value;
	struct rt_query query;
	unsigned work; /* in this turn */
	struct source *source; /* before what is to do; NULL: none */
	struct seen *seen;
	unsigned lists, includes; /* files named, and read */
	struct rt_item *items;
	size_t n, room, given;
	struct hb_outcome outcome;
	const char *broken;   /* what is wrong with a target; NULL: all well */
	bool only_exists;
};

enum { SLICE = 200 }; /* addresses, or members of a list, in a turn */

static void
fail(struct rt_expansion *w, enum hb_result result, unsigned code,
    const char *status, enum hb_reason reason, const char *text)
{
	if (w->outcome.result == HB_RESULT_DEFER)
		return;
	w->outcome = (struct hb_outcome){ .result = (uint32_t)result,
		.code = code, .status = hb_span_str(status),
		.reason = (uint32_t)reason, .text = hb_span_str(text) };
}

static void
succeed(struct rt_expansion *w)
{
	fail(w, HB_RESULT_OK, 250, "2.1.5", HB_REASON_OK, "Ok");
}

static void
fail_temp(struct rt_expansion *w, const char *text)
{
	fail(w, HB_RESULT_DEFER, 451, "4.3.0", HB_REASON_LOOKUP_TEMP, text);
}

static struct hb_span
join(
    struct rt_expansion *w, struct hb_span a, const char *sep, struct hb_span b)
{
	size_t k = strlen(sep);
	unsigned char *p = hb_arena_alloc(w->arena, a.n + k + b.n + 1);

	if (a.n > 0)
		memcpy(p, a.p, a.n);
	memcpy(p + a.n, sep, k);
	if (b.n > 0)
		memcpy(p + a.n + k, b.p, b.n);
	return hb_span(p, a.n + k + b.n);
}

static void
add_item(struct rt_expansion *w, const struct step *s, struct hb_span route)
{
	if (w->n == w->room) {
		w->room = w->room > 0 ? w->room * 2 : 8;
		w->items = hb_realloc(w->items, w->room * sizeof(*w->items));
	}
	w->items[w->n++] = (struct rt_item){
		.address = s->text,
		.route = hb_arena_span(w->arena, route),
		.owner = s->owner,
		.flags = (s->depth > 0 ? HB_RCPT_EXPANDED : 0) |
		    (s->owner.n > 0 ? HB_RCPT_LIST : 0),
	};
}

/* A target that cannot be used fails alone when it came out of a list, and
 * is the answer when it is the address itself. */
static void
refuse(struct rt_expansion *w, const struct step *s, const char *status,
    enum hb_reason reason, const char *text)
{
	if (s->depth == 0)
		fail(w, HB_RESULT_FAIL, 550, status, reason, text);
	else
		add_item(w, s, join(w, hb_span_str("error:"), "",
		    join(w, hb_span_str(status), " ", hb_span_str(text))));
}

/* A target that is written wrong is the operator's mistake: the others get
 * their mail, and that of this one waits until the address is asked for again.
 * The owner of a list is the one to mend it, and is told. */
static void
is_broken(struct rt_expansion *w, const struct step *s, struct hb_span owner,
    const char *status, const char *text)
{
	struct step own = *s;

	own.owner = owner;
	own.depth++;
	if (owner.n > 0)
		refuse(w, &own, status, HB_REASON_ALIAS_ERROR, text);
	else
		w->broken = text;
}

/* A step below PARENT for what KEY names, which is walked once, or AGAIN.
 * NULL: it was, or there are too many. */
static struct step *
add_step(struct rt_expansion *w, const struct step *parent, struct hb_span key,
    bool again)
{
	struct seen *seen;
	struct step *s;

	HASH_FIND(hh, w->seen, key.p, key.n, seen);
	if (seen != NULL && !again)
		return NULL;
	if (HASH_COUNT(w->seen) > HB_MAX_ALIAS_TARGETS + w->lists ||
	    (parent != NULL && parent->depth >= HB_MAX_ALIAS_DEPTH)) {
		fail(w, HB_RESULT_DEFER, 451, "4.4.6", HB_REASON_ALIAS_LOOP,
		    "Alias too deep or too large");
		return NULL;
	}
	if (seen == NULL) {
		seen = hb_arena_alloc(w->arena, sizeof(*seen));
		seen->text = hb_arena_span(w->arena, key);
		HASH_ADD_KEYPTR(hh, w->seen, seen->text.p, seen->text.n, seen);
	}
	s = hb_arena_alloc(w->arena, sizeof(*s));
	s->text = seen->text;
	s->depth = parent != NULL ? parent->depth + 1 : 0;
	STAILQ_INSERT_TAIL(&w->todo, s, link);
	return s;
}

static void
push(struct rt_expansion *w, const struct step *parent, struct hb_span text,
    struct hb_span owner, bool final)
{
	struct step *s = add_step(w, parent, text, final);

	if (s == NULL)
		return;
	s->owner = owner;
	s->final = final;
}

/* LOCAL without domain is one of ours: it gets our first domain, so that it
 * is known again however it is written. */
static struct hb_span
qualify(struct rt_expansion *w, struct hb_span text)
{
	struct hb_span local, domain;

	hb_addr_split(text, &local, &domain);
	if (domain.n > 0 || (*w->conf)->domains.n == 0)
		return text;
	domain = hb_span_str((*w->conf)->domains.v[0]);
	if (local.n + 1 + domain.n > HB_MAX_PATH) /* it is local without */
		return text;
	return join(w, text, "@", domain);
}

/* Does the alias of S name itself?  Then it means the mailbox, as sendmail
 * has it: "bob: bob, archive". */
static bool
names_itself(
    const struct rt_expansion *w, const struct step *s, struct hb_span text)
{
	struct hb_span local, domain, own, own_domain;

	hb_addr_split(text, &local, &domain);
	hb_addr_split(s->text, &own, &own_domain);
	return hb_span_eq_nocase(local, own) &&
	    rt_is_local_domain(*w->conf, domain);
}

/* TEXT as in an envelope, or as in a header field ("Name <address>",
 * comments): 1 an address, 0 none, HB_E_*. */
static int
parse_target(struct hb_span text, struct hb_buf *out)
{
	const unsigned flags = HB_ADDR_LOCAL | HB_ADDR_UTF8 | HB_ADDR_IDN;
	struct hb_addrlist list = hb_addrlist(text);
	struct hb_buf more = HB_BUF_INIT(0);
	struct hb_addr a;
	int r = hb_addr_parse(text, flags, &a);

	if (r == 0)
		return hb_addr_format(&a, out) < 0 ? HB_E_RANGE : 1;
	r = hb_addrlist_next(&list, out);
	if (r > 0 && (hb_addrlist_next(&list, &more) != 0 ||
	    hb_addr_parse(hb_buf_span(out), flags, &a) < 0))
		r = HB_E_SYNTAX;
	hb_buf_free(&more);
	return r;
}

/* The address that TEXT, a target of an alias, means: 1, 0 or HB_E_*. */
static int
read_address(struct hb_span text, struct hb_buf *out)
{
	int r = parse_target(text, out), idn = r > 0 ? hb_idna_address(out) : 0;

	return idn < 0 ? idn : r;
}

static void
push_address(struct rt_expansion *w, const struct step *s, struct hb_span text,
    struct hb_span owner, bool final)
{
	struct hb_buf canonical = HB_BUF_INIT(0);
	int r = read_address(text, &canonical);

	if (r > 0) {
		struct hb_span full = qualify(w, hb_buf_span(&canonical));

		push(w, s, full, owner, final || names_itself(w, s, full));
	} else if (r < 0) {
		struct step bad = *s;

		bad.text = hb_arena_span(w->arena,
		    hb_span_head(text, HB_MAX_PATH));
		is_broken(w, &bad, owner, "5.1.3",
		    "Malformed address in an alias");
	}
	hb_buf_free(&canonical);
}

/* The members of a list's file in place of S.  A file that was read is not
 * read again: lists may name each other. */
static void
push_include(struct rt_expansion *w, const struct step *s, struct hb_span path,
    struct hb_span owner)
{
	struct step *list = add_step(w, s, join(w, HB_SPAN(":include:"), "",
	    path), false);

	if (list == NULL)
		return;
	w->lists++;
	list->include = hb_arena_span(w->arena, path);
	list->text = s->text;
	list->owner = owner;
}

static void
add_local_route(struct rt_expansion *w, const struct step *own,
    enum rt_target_kind kind, struct hb_span rest)
{
	struct hb_span account = HB_SPAN(HB_LOCAL_ACCOUNT);

	if (kind == RT_TARGET_FILE)
		add_item(w, own, join(w, HB_SPAN("file:"), "",
		    join(w, rest, "@", account)));
	else
		add_item(w, own, join(w, HB_SPAN("pipe:"), "",
		    join(w, account, ":", rest)));
}

/* A target that needs no further walk.  False: it cannot be used. */
static bool
end_target(struct rt_expansion *w, const struct step *own,
    enum rt_target_kind kind, struct hb_span text, struct hb_span rest,
    bool may_run)
{
	struct hb_route r;

	if (kind == RT_TARGET_ERROR && hb_route_parse(text, &r) == 0) {
		add_item(w, own, text);
		return true;
	}
	if (kind == RT_TARGET_ERROR || !may_run || rest.n == 0 ||
	    rest.n > HB_MAX_ROUTE / 2)
		return false;
	add_local_route(w, own, kind, rest);
	return true;
}

static void
push_target(struct rt_expansion *w, const struct step *s, struct hb_span text,
    struct hb_span owner, bool may_run)
{
	struct hb_span rest;
	enum rt_target_kind kind = rt_target_kind(text, &rest);
	struct step own = *s;
	struct hb_buf plain = HB_BUF_INIT(0);

	own.depth++;
	own.owner = owner;
	/* |"command" and :include:"file" as well as "|command" */
	if (kind == RT_TARGET_PIPE || kind == RT_TARGET_INCLUDE) {
		hb_alias_unquote(rest, &plain);
		rest = hb_span_trim(hb_buf_span(&plain));
	}
	if (kind == RT_TARGET_ADDRESS || kind == RT_TARGET_FINAL)
		push_address(w, s, rest, owner, kind == RT_TARGET_FINAL);
	else if (kind == RT_TARGET_INCLUDE && rest.n > 0)
		push_include(w, s, rest, owner);
	else if (kind == RT_TARGET_INCLUDE ||
	    !end_target(w, &own, kind, text, rest, may_run))
		is_broken(w, s, owner, "5.3.5",
		    "An alias holds a target that cannot be used");
	hb_buf_free(&plain);
}

/* False: no more targets in VALUE. */
static bool
push_next(struct rt_expansion *w, const struct step *s, struct hb_span *value,
    struct hb_span owner, bool may_run)
{
	struct hb_buf target = HB_BUF_INIT(0);
	int r = hb_alias_next(value, &target);

	if (r > 0)
		push_target(w, s, hb_buf_span(&target), owner, may_run);
	if (r < 0) /* of a list, that line fails alone */
		is_broken(w, s, owner, "5.3.5",
		    "An alias holds a quote that is not closed");
	hb_buf_free(&target);
	return r > 0;
}

static void
push_targets(struct rt_expansion *w, const struct step *s, struct hb_span value,
    struct hb_span owner, bool may_run)
{
	while (push_next(w, s, &value, owner, may_run))
		continue;
}

/* The next member of the list's file, or its next line: one target a line,
 * '#' for comments. */
static void
read_source(struct rt_expansion *w)
{
	struct source *f = w->source;

	if (push_next(w, f->list, &f->line, f->list->owner, false))
		return;
	if (f->rest.n > 0) {
		f->line = hb_span_trim(hb_span_cut(&f->rest, '\n'));
		if (f->line.n > 0 && f->line.p[0] == '#')
			f->line.n = 0;
		return;
	}
	hb_buf_free(&f->content);
	w->source = NULL;
}

/* Aliases, users and mailboxes are named without regard to case, as sendmail
 * does: Ann has one mailbox. */
static void
get_names(struct rt_expansion *w, const struct step *s, struct names *n)
{
	struct hb_buf plain = HB_BUF_INIT(0);
	struct hb_span local;

	hb_addr_split(s->text, &local, &n->domain);
	if (hb_addr_unquote(local, &plain) < 0)
		plain.n = 0;
	hb_buf_lower(&plain, 0);
	n->local = hb_arena_span(w->arena, hb_buf_span(&plain));
	n->bare = rt_without_detail(*w->conf, n->local);
	n->full = s->text;
	hb_buf_free(&plain);
}

/* Local delivery as `deliver` says. */
static void
add_user(struct rt_expansion *w, const struct step *s, struct hb_span user)
{
	const struct hb_deliver *d = &(*w->conf)->deliver;

	if (d->kind != HB_DELIVER_LMTP)
		add_item(w, s, join(w, HB_SPAN("local:"), "", user));
	else
		add_item(w, s, hb_span_str(d->arg));
}

/*
 * Steps.  What each look asks for, or false: it has nothing to ask.
 */

static bool
query(struct rt_expansion *w, enum rt_query_kind kind, struct hb_span key)
{
	hb_buf_clear(&w->value);
	w->query = (struct rt_query){ .kind = kind, .key = key,
		.domain = w->names.domain, .value = &w->value };
	return true;
}

/* Its names; those without detail only where they are others. */
static bool
ask_name(struct rt_expansion *w)
{
	const struct names *n = &w->names;
	bool detail = n->bare.n < n->local.n;
	struct hb_span name = n->full;

	if (w->look == LOOK_LOCAL)
		name = n->local;
	else if (w->look == LOOK_BARE)
		name = n->bare;
	else if (w->look == LOOK_BARE_FULL)
		name = join(w, n->bare, "@", n->domain);
	w->alias = w->look <= LOOK_LOCAL ? n->local : n->bare;
	if (w->at->final || (w->look == LOOK_BARE && !detail) ||
	    (w->look == LOOK_BARE_FULL && name.n == n->full.n))
		return false;
	return query(w, RT_QUERY_ALIAS, name);
}

/* A list NAME with an alias owner-NAME has that as its return path. */
static bool
ask_owner(struct rt_expansion *w)
{
	struct hb_span owner = join(w, HB_SPAN("owner-"), "", w->alias);
	size_t domain = w->names.domain.n > 0
	    ? w->names.domain.n : strlen((*w->conf)->hostname);

	return !hb_span_has_prefix_nocase(w->alias, HB_SPAN("owner-")) &&
	    owner.n + 1 + domain <= HB_MAX_PATH &&
	    query(w, RT_QUERY_ALIAS, owner);
}

static bool
ask_user(struct rt_expansion *w)
{
	struct hb_span name = w->names.bare;

	return rt_is_mailbox_name(name) &&
	    !((*w->conf)->local_users.passwd &&
		hb_conf_is_own_account(*w->conf, name)) &&
	    query(w, RT_QUERY_USER, name);
}

static bool
ask_anybody(struct rt_expansion *w)
{
	return !w->at->final && query(w, RT_QUERY_ALIAS,
	    join(w, HB_SPAN("@"), "", w->names.domain));
}

static bool
ask_role(struct rt_expansion *w)
{
	return !w->at->final &&
	    (hb_addr_is_postmaster(w->names.bare) ||
		hb_addr_is_role(w->names.bare)) &&
	    query(w, RT_QUERY_ALIAS, hb_addr_is_postmaster(w->names.bare)
		    ? HB_SPAN("root") : HB_SPAN("postmaster"));
}

static bool
ask_include(struct rt_expansion *w)
{
	return query(w, RT_QUERY_INCLUDE, w->at->include);
}

/* And what comes of the answer.  Each says what is to be known next. */

static enum look
go_to(struct rt_expansion *w, struct hb_span value, struct hb_span owner)
{
	push_targets(w, w->at, value, owner, true);
	return LOOK_NOTHING;
}

static enum look
took_name(struct rt_expansion *w, enum rt_found found)
{
	struct hb_buf swap = w->targets;

	if (found == RT_NOTFOUND)
		return w->look == LOOK_BARE ? LOOK_USER
					    : (enum look)(w->look + 1);
	if (w->only_exists) {
		succeed(w);
		return LOOK_NOTHING;
	}
	w->targets = w->value; /* the owner is looked up before they are used */
	w->value = swap;
	return LOOK_OWNER;
}

static enum look
took_owner(struct rt_expansion *w, enum rt_found found)
{
	struct hb_span domain = w->names.domain, owner = w->at->owner;

	if (domain.n == 0)
		domain = hb_span_str((*w->conf)->hostname);
	if (found == RT_FOUND)
		owner = join(w, w->query.key, "@", domain);
	return go_to(w, hb_buf_span(&w->targets), owner);
}

static enum look
took_user(struct rt_expansion *w, enum rt_found found)
{
	if (found == RT_NOTFOUND)
		return LOOK_ANYBODY;
	add_user(w, w->at, w->names.bare);
	return LOOK_NOTHING;
}

static enum look
took_anybody(struct rt_expansion *w, enum rt_found found)
{
	if (found == RT_NOTFOUND)
		return LOOK_ROLE;
	if (!w->only_exists)
		return go_to(w, hb_buf_span(&w->value), w->at->owner);
	succeed(w);
	return LOOK_NOTHING;
}

/*
 * Names that exist at each local domain, RFC 5321 s4.5.1, RFC 2142.  Where
 * nobody has them, abuse and MAILER-DAEMON are the postmaster by other names,
 * and he has what root's alias says, or a mailbox.
 */
static enum look
took_role(struct rt_expansion *w, enum rt_found found)
{
	struct step *s = w->at;
	bool postmaster = hb_addr_is_postmaster(w->names.bare);

	if (!postmaster && !hb_addr_is_role(w->names.bare))
		refuse(w, s, "5.1.1", HB_REASON_USER_UNKNOWN, "User unknown");
	else if (w->only_exists)
		succeed(w);
	else if (found == RT_FOUND)
		push_targets(w, s, hb_buf_span(&w->value), s->owner, true);
	else if (postmaster || s->final)
		add_user(w, s, HB_SPAN("postmaster"));
	else
		push(w, s, join(w, HB_SPAN("postmaster"), "@",
		    w->names.domain), s->owner, false);
	return LOOK_NOTHING;
}

/* A list's file is data: no commands and files from it. */
static enum look
took_include(struct rt_expansion *w, enum rt_found found)
{
	struct source *f = hb_arena_alloc(w->arena, sizeof(*f));

	*f = (struct source){ .list = w->at, .content = w->value };
	w->value = HB_BUF_INIT(0);
	f->rest = hb_span_markless(hb_buf_span(&f->content));
	w->source = f;
	return LOOK_NOTHING;
}

static const struct {
	bool (*ask)(struct rt_expansion *w);
	enum look (*took)(struct rt_expansion *w, enum rt_found found);
	const char *temp; /* it cannot be looked up now */
} looks[] = {
#define NO_ALIASES "The aliases cannot be read now"
	[LOOK_FULL] = { ask_name, took_name, NO_ALIASES },
	[LOOK_LOCAL] = { ask_name, took_name, NO_ALIASES },
	[LOOK_BARE_FULL] = { ask_name, took_name, NO_ALIASES },
	[LOOK_BARE] = { ask_name, took_name, NO_ALIASES },
	[LOOK_OWNER] = { ask_owner, took_owner, NO_ALIASES },
	[LOOK_USER] = { ask_user, took_user,
	    "The user cannot be looked up now" },
	[LOOK_ANYBODY] = { ask_anybody, took_anybody, NO_ALIASES },
	[LOOK_ROLE] = { ask_role, took_role, NO_ALIASES },
	[LOOK_INCLUDE] = { ask_include, took_include,
	    "A list's file cannot be read" },
};

void
rt_expansion_answer(struct rt_expansion *w, enum rt_found found)
{
	if (found == RT_TEMP) {
		fail_temp(w, looks[w->look].temp);
		w->look = LOOK_NOTHING;
	} else {
		w->look = looks[w->look].took(w, found);
	}
}

static void
begin_include(struct rt_expansion *w)
{
	if (++w->includes > HB_MAX_INCLUDES)
		fail_temp(w, "Too many lists in one another");
	else
		w->look = LOOK_INCLUDE;
}

static void
begin_step(struct rt_expansion *w, struct step *s)
{
	struct hb_span local, domain;
	struct hb_buf route = HB_BUF_INIT(HB_MAX_ROUTE);

	w->at = s;
	hb_addr_split(s->text, &local, &domain);
	if (s->include.n > 0) {
		begin_include(w);
	} else if (rt_is_local_domain(*w->conf, domain)) {
		get_names(w, s, &w->names);
		w->look = LOOK_FULL;
	} else if (rt_remote_route(*w->conf, domain, &route) == 0) {
		add_item(w, s, hb_buf_span(&route));
	} else {
		refuse(w, s, "5.1.2", HB_REASON_ADDRESS_SYNTAX,
		    "Malformed domain");
	}
	hb_buf_free(&route);
}

/* One address, or one member of a list's file. */
static void
walk_next(struct rt_expansion *w)
{
	struct step *s = STAILQ_FIRST(&w->todo);

	if (w->source != NULL) {
		read_source(w);
		return;
	}
	STAILQ_REMOVE_HEAD(&w->todo, link);
	begin_step(w, s);
}

static void
conclude(struct rt_expansion *w)
{
	if (w->outcome.result == HB_RESULT_NONE && w->broken != NULL)
		fail(w, HB_RESULT_DEFER, 451, "4.3.5", HB_REASON_ALIAS_ERROR,
		    w->broken);
	else if (w->outcome.result == HB_RESULT_NONE && w->n == 0)
		fail(w, HB_RESULT_DEFER, 451, "4.3.5", HB_REASON_ALIAS_ERROR,
		    "The alias leads to nobody");
	else if (w->outcome.result == HB_RESULT_NONE)
		succeed(w);
	else if (w->outcome.result != HB_RESULT_OK)
		w->n = 0;
}

/* Is the answer clear, before all is walked or after? */
static bool
is_settled(const struct rt_expansion *w)
{
	return w->outcome.result == HB_RESULT_DEFER ||
	    (w->only_exists && w->outcome.result != HB_RESULT_NONE) ||
	    (STAILQ_EMPTY(&w->todo) && w->source == NULL);
}

enum rt_next
rt_expansion_run(struct rt_expansion *w, const struct rt_query **q)
{
	*q = &w->query;
	for (;;) {
		if (w->look != LOOK_NOTHING) {
			if (looks[w->look].ask(w))
				return RT_LOOK_UP;
			rt_expansion_answer(w, RT_NOTFOUND);
		} else if (is_settled(w)) {
			conclude(w);
			return RT_DONE;
		} else if (w->work++ >= SLICE) {
			w->work = 0;
			return RT_PAUSE;
		} else {
			walk_next(w);
		}
	}
}

struct rt_expansion *
rt_expansion_new(const struct hb_conf *const *conf, struct hb_span address)
{
	struct rt_expansion *w = HB_NEW(struct rt_expansion);

	w->conf = conf;
	w->arena = hb_arena_new();
	STAILQ_INIT(&w->todo);
	w->look = LOOK_NOTHING;
	push(w, NULL, qualify(w, address), HB_SPAN_NONE, false);
	return w;
}

struct rt_expansion *
rt_expansion_exists(const struct hb_conf *const *conf, struct hb_span address)
{
	struct rt_expansion *w = rt_expansion_new(conf, address);

	w->only_exists = true;
	return w;
}

void
rt_expansion_free(struct rt_expansion **w)
{
	if (*w == NULL)
		return;
	if ((*w)->source != NULL)
		hb_buf_free(&(*w)->source->content);
	HASH_CLEAR(hh, (*w)->seen);
	hb_buf_free(&(*w)->targets);
	hb_buf_free(&(*w)->value);
	hb_arena_free(&(*w)->arena);
	free((*w)->items);
	free(*w);
	*w = NULL;
}

const struct hb_outcome *
rt_expansion_outcome(const struct rt_expansion *w)
{
	return &w->outcome;
}

size_t
rt_expansion_items(struct rt_expansion *w, size_t most,
    const struct rt_item **items)
{
	size_t left = w->n - w->given, n = left < most ? left : most;

	*items = n > 0 ? &w->items[w->given] : NULL;
	w->given += n;
	return n;
}

bool
rt_expansion_has_items(const struct rt_expansion *w)
{
	return w->given < w->n;
}
