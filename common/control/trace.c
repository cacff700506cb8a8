/*
 * `trace`: all records of one message, one session or one client in the log,
 * searched from the end in slices, and the events that queue remembers of a
 * message, sorted by time.  Floor 4.  A rotated log is not searched.
 */
#include "config.h"

#include "common/control/control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/proto/envelope.h"
#include "common/proto/header.h"
#include "common/proto/netaddr.h"

enum {
	SLICE = 256 << 10,     /* of the log in one turn of the loop */
	CARRY_MAX = 256 << 10, /* a longer line is none of ours */
	RECORDS_MAX = 10000
};

struct ctl_trace {
	struct ctl_client *c;
	struct hb_timer *timer;
	int fd;
	off_t end;	     /* all behind it is searched */
	struct hb_buf carry; /* end of a line whose beginning is before END */
	char client[HB_NETADDR_TEXT]; /* or empty */
	char id[17]; /* empty: of the message whose Message-ID is */
	char message_id[HB_MAX_MESSAGE_ID + 1];
	json_t *records;
	bool begun; /* the record that begins the message is found */
};

/* --- records of the log --- */

/* The value of a pair, as it was before it was quoted. */
static json_t *
unquote(struct hb_span *rest)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_span s = hb_span_from(*rest, 1);
	json_t *v;

	while (s.n > 0 && s.p[0] != '"') {
		uint64_t odd;

		if (s.p[0] == '\\' && s.n > 3 && s.p[1] == 'x' &&
		    hb_span_hex64(hb_span(s.p + 2, 2), &odd) == 0) {
			hb_buf_addf(&b, "%c", (int)odd);
			s = hb_span_from(s, 4);
			continue;
		}
		if (s.p[0] == '\\')
			s = hb_span_from(s, 1);
		hb_buf_add(&b, hb_span_head(s, 1));
		s = hb_span_from(s, 1);
	}
	*rest = hb_span_from(s, 1);
	v = ctl_utf8_string(hb_buf_span(&b));
	hb_buf_free(&b);
	return v;
}

static void
add_pair(json_t *record, struct hb_span *rest)
{
	struct hb_span key, word;
	json_t *v;

	*rest = hb_span_trim(*rest);
	key = hb_span_head(*rest, hb_span_find(*rest, '='));
	*rest = hb_span_from(*rest, key.n + 1);
	if (rest->n > 0 && rest->p[0] == '"') {
		v = unquote(rest);
	} else {
		word = hb_span_cut(rest, ' ');
		v = ctl_utf8_string(word);
	}
	(void)json_object_setn_new(record, (const char *)key.p, key.n, v);
}

/* "TIME ROLE[PID] LEVEL key=value ..." */
static json_t *
parse_text(struct hb_span line)
{
	json_t *r = json_object();
	struct hb_span time = hb_span_word(&line), who = hb_span_word(&line),
	    level = hb_span_word(&line), role = hb_span_cut(&who, '[');
	uint64_t pid;

	(void)json_object_set_new(r, "time", ctl_utf8_string(time));
	(void)json_object_set_new(r, "role", ctl_utf8_string(role));
	if (hb_span_u64(hb_span_cut(&who, ']'), INT32_MAX, &pid) == 0)
		(void)json_object_set_new(r, "pid",
		    json_integer((json_int_t)pid));
	(void)json_object_set_new(r, "level", ctl_utf8_string(level));
	while (line.n > 0)
		add_pair(r, &line);
	return r;
}

static json_t *
parse_record(struct hb_span line)
{
	json_t *r = line.p[0] == '{' ? json_loadb((const char *)line.p, line.n,
					   0, NULL)
				     : parse_text(line);

	if (json_is_object(r))
		(void)json_object_set_new(r, "source", json_string("log"));
	return r;
}

/* The text of an address stands in the records of others too. */
static bool
is_wanted(const struct ctl_trace *t, const json_t *record)
{
	return json_is_object(record) && (t->client[0] == '\0' ||
	    hb_span_eq(ctl_member(record, "client"), hb_span_str(t->client)));
}

/* True if it is one of those that are looked for. */
static bool
take_line(struct ctl_trace *t, struct hb_span line, size_t at)
{
	json_t *r = parse_record(line);

	if (!is_wanted(t, r)) {
		json_decref(r);
		return false;
	}
	t->begun = t->begun ||
	    (hb_span_eq(ctl_member(r, "ev"), HB_SPAN("accept")) &&
		hb_span_eq(ctl_member(r, "msg"), hb_span_str(t->id)));
	if (!t->c->q.json)
		(void)json_object_set_new(r, "line",
		    json_stringn_nocheck((const char *)line.p, line.n));
	return json_array_insert_new(t->records, at, r) == 0;
}

/* LINE may be what says which message has the Message-ID: for a DSN that is
 * the record about the message that it is about. */
static void
look_for_id(struct ctl_trace *t, struct hb_span line)
{
	json_t *r = parse_record(line);
	struct hb_span notice = ctl_member(r, "notice");

	if (json_is_object(r) &&
	    hb_message_id_eq(ctl_member(r, "message_id"),
		hb_span_str(t->message_id)) &&
	    hb_span_copy(notice.n > 0 ? notice : ctl_member(r, "msg"), t->id,
		sizeof(t->id)) < 0)
		t->id[0] = '\0';
	json_decref(r);
}

/* Is it known what to look for? */
static bool
is_found(const struct ctl_trace *t)
{
	return t->client[0] != '\0' || t->id[0] != '\0';
}

/* All whole lines of S: the last one with the Message-ID counts. */
static void
find_id(struct ctl_trace *t, struct hb_span s)
{
	struct hb_span want = hb_span_str(t->message_id);

	while (s.n > 0) {
		struct hb_span line = hb_span_cut(&s, '\n');

		if (hb_span_search(line, want) < line.n)
			look_for_id(t, line);
	}
}

/* All whole lines of S, which stand before those found so far. */
static void
search_lines(struct ctl_trace *t, struct hb_span s)
{
	struct hb_span want = hb_span_str(t->client[0] != '\0' ? t->client
							       : t->id);
	size_t at = 0;

	while (s.n > 0) {
		struct hb_span line = hb_span_cut(&s, '\n');

		if (hb_span_search(line, want) < line.n &&
		    json_array_size(t->records) < RECORDS_MAX &&
		    take_line(t, line, at))
			at++;
	}
}

/* One slice of the file before t->end.  False: nothing is left. */
static bool
search_slice(struct ctl_trace *t)
{
	off_t start = t->end > SLICE ? t->end - SLICE : 0;
	size_t n = (size_t)(t->end - start), first = 0;
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_span all;
	unsigned char *room;
	ssize_t got;

	if (t->fd < 0 || n == 0 || hb_buf_reserve(&b, n, &room) < 0)
		return false;
	got = pread(t->fd, room, n, start);
	hb_buf_added(&b, got > 0 ? (size_t)got : 0);
	hb_buf_add(&b, hb_buf_span(&t->carry));
	all = hb_buf_span(&b);
	if (start > 0)
		first = hb_span_find(all, '\n');
	all = hb_span_from(all, start > 0 ? first + 1 : 0);
	if (is_found(t))
		search_lines(t, all);
	else
		find_id(t, all);
	hb_buf_clear(&t->carry);
	if (first < CARRY_MAX)
		hb_buf_add(&t->carry, hb_span_head(hb_buf_span(&b), first));
	hb_buf_free(&b);
	t->end = start;
	return got >= 0 && start > 0 && !t->begun;
}

/* --- output --- */

static void
show_event(struct ctl_client *c, json_t *e)
{
	static const char event[] =
	    "{time} (queue) event={event} recipient={recipient}"
	    "<rcpt| rcpt={rcpt}><mx| mx={mx}><addr| addr={addr}>"
	    "<result| result={result}><code| code={code}>"
	    "<status| status={status}><tls| tls={tls}><sts| sts={sts}>"
	    "<dane| dane={dane}><result| reason={-reason} text={-text}>"
	    "<message_id| message_id={message_id}>\n";

	if (!c->q.json)
		ctl_add_text(c, e,
		    ctl_member(e, "line").n > 0 ? "{line}\n" : event);
	ctl_rows_add(c, e);
	ctl_push(c, false);
}

/* Both lists are in order of time, and RFC 3339 sorts as text. */
static void
show_merged(struct ctl_client *c, const json_t *log, const json_t *queue)
{
	size_t i = 0, k = 0;

	ctl_rows_begin(c);
	while (i < json_array_size(log) || k < json_array_size(queue)) {
		json_t *a = json_array_get(log, i),
		       *b = json_array_get(queue, k);

		if (b == NULL || (a != NULL &&
			hb_span_cmp(ctl_member(a, "time"),
			    ctl_member(b, "time")) <= 0)) {
			show_event(c, a);
			i++;
			continue;
		}
		(void)json_object_set_new(b, "source", json_string("queue"));
		show_event(c, b);
		k++;
	}
	ctl_rows_end(c);
}

static void
finish(struct ctl_trace *t)
{
	struct ctl_client *c = t->c;
	const struct ctl_ask *a = ctl_first_good(c);

	if (t->fd < 0)
		ctl_err(c, "the log is no file that can be read; this is "
			   "what queue remembers");
	show_merged(c, t->records, a != NULL ? a->tree.root : NULL);
	if (c->rows == 0)
		ctl_err(c, "nothing is known of it");
	ctl_exit(c, c->rows > 0 ? 0 : 1);
}

/* Searches the log from its end. */
static void
begin_search(struct ctl_trace *t)
{
	struct stat st;

	hb_buf_clear(&t->carry);
	t->end = t->fd >= 0 && fstat(t->fd, &st) == 0 ? st.st_size : 0;
	hb_timer_set(t->timer, 0);
}

static void
step(void *ctx)
{
	struct ctl_trace *t = ctx;
	bool finds = !is_found(t), more = search_slice(t);

	t->c->alive_ms = hb_mono_ms();
	if (finds && is_found(t))
		begin_search(t);
	else if (more)
		hb_timer_set(t->timer, 0);
	else
		finish(t);
}

static void
trace_free(struct ctl_client *c)
{
	struct ctl_trace *t = c->state;

	hb_timer_free(&t->timer);
	hb_buf_free(&t->carry);
	json_decref(t->records);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

static struct ctl_trace *
trace_new(struct ctl_client *c)
{
	struct ctl_trace *t = HB_NEW(struct ctl_trace);

	t->c = c;
	t->timer = hb_timer_new(c->ctl->env->loop, step, t);
	t->carry = HB_BUF_INIT(0);
	t->records = json_array();
	t->fd = c->ctl->log_fd >= 0
	    ? fcntl(c->ctl->log_fd, F_DUPFD_CLOEXEC, 3) : -1;
	return t;
}

/* ARG: an id, an address of a client, or a Message-ID with or without
 * brackets. */
static bool
take_arg(struct ctl_trace *t, struct hb_span arg)
{
	struct hb_netaddr client;
	uint64_t id;

	if (hb_span_hex64(arg, &id) == 0) {
		hb_msgid_format(id, t->id);
		return true;
	}
	if (hb_netaddr_parse(arg, &client) == 0) {
		hb_netaddr_format(&client, t->client);
		return true;
	}
	if (arg.n >= 2 && arg.p[0] == '<' && arg.p[arg.n - 1] == '>')
		arg = hb_span(arg.p + 1, arg.n - 2);
	return arg.n > 0 &&
	    hb_span_copy(arg, t->message_id, sizeof(t->message_id)) == 0;
}

void
ctl_trace_begin(struct ctl_client *c)
{
	struct ipc_ctl q = { .verb = HB_CTL_TRACE, .arg = c->args[0] };

	c->state = trace_new(c);
	c->free_state = trace_free;
	if (!take_arg(c->state, q.arg)) {
		ctl_err(c, "trace needs the id of a message or session, a "
			   "Message-ID, or the address of a client");
		ctl_exit(c, 1);
		return;
	}
	if (((struct ctl_trace *)c->state)->client[0] == '\0')
		ctl_ask(c, HB_ROLE_QUEUE, 0, &q);
	if (c->waiting == 0)
		ctl_trace_finish(c);
}

/* Queue may remember the Message-ID. */
void
ctl_trace_finish(struct ctl_client *c)
{
	struct ctl_trace *t = c->state;
	const struct ctl_ask *a = ctl_first_good(c);
	const json_t *first = a != NULL ? json_array_get(a->tree.root, 0) : NULL;

	if (!is_found(t) && first != NULL &&
	    hb_span_copy(ctl_member(first, "msg"), t->id, sizeof(t->id)) < 0)
		t->id[0] = '\0';
	begin_search(t);
}
