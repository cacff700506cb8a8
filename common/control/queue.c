/* `queue` and `show`.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <sysexits.h>
#include <time.h>

#include "common/base/timefmt.h"

/* A row as JSON ends with its recipients. */
#define ROW_END "]}"

static void
add_sender(struct ctl_client *c, const json_t *msg)
{
	struct hb_span sender = ctl_member(msg, "sender");

	if (sender.n == 0)
		ctl_add(c, "<>");
	else
		ctl_add_safe(c, sender);
}

/* The last answer: "REASON at HOST: REPLY". */
static void
add_answer(struct ctl_client *c, const json_t *last)
{
	ctl_add_text(c, last, "{-reason}<mx| at {mx}><reply|: {reply}>");
}

/* Why it is still here. */
static void
add_last(struct ctl_client *c, const json_t *last)
{
	struct hb_span reply = ctl_member(last, "reply");
	struct hb_span why = ctl_member(last, "why");

	ctl_add(c, "\n        ");
	add_answer(c, last);
	if (hb_span_search(reply, why) == reply.n)
		ctl_add_text(c, last, "<why|\n        why: {why}>");
}

static void
add_rcpt(struct ctl_client *c, const json_t *rcpt)
{
	const json_t *last = json_object_get(rcpt, "last");

	ctl_add_text(c, rcpt, "    {-address}  attempts {-attempts}"
	    "<next_attempt|, next {next_attempt}>");
	if (ctl_member(last, "reason").n > 0)
		add_last(c, last);
	ctl_add(c, "\n");
}

static void
add_msg(struct ctl_client *c, const json_t *msg)
{
	ctl_add_text(c, msg, "{-id}  {-size}  {-arrived}  {-state}  ");
	add_sender(c, msg);
	ctl_add_text(c, msg, "<tls_demand|  tls {tls_demand}>\n");
}

/* sendmail's form: the mark behind the id is "*" for one under delivery; "!"
 * for one that is held, as Postfix has it. */
static void
add_mailq_head(struct ctl_client *c, const json_t *msg)
{
	struct hb_span state = ctl_member(msg, "state");
	char when[32] = "-";
	int64_t ms;
	struct tm tm;
	time_t t;

	if (hb_time_rfc3339_parse(ctl_member(msg, "arrived"), &ms) == 0) {
		t = (time_t)(ms / 1000);
		if (gmtime_r(&t, &tm) != NULL)
			strftime(when, sizeof(when), "%a %b %e %H:%M", &tm);
	}
	ctl_add_text(c, msg, "{-id}");
	ctl_addf(c, "%c %8lld %s ",
	    hb_span_eq(state, HB_SPAN("active"))     ? '*'
		: hb_span_eq(state, HB_SPAN("held")) ? '!'
						     : ' ',
	    (long long)json_integer_value(json_object_get(msg, "size")), when);
	add_sender(c, msg);
	ctl_add(c, "\n");
}

static void
add_mailq_rcpt(struct ctl_client *c, const json_t *rcpt)
{
	const json_t *last = json_object_get(rcpt, "last");

	if (ctl_member(last, "reason").n > 0) {
		ctl_add(c, "                 (");
		add_answer(c, last);
		ctl_add(c, ")\n");
	}
	ctl_add_text(c, rcpt, "\t\t\t\t\t {-address}\n");
}

static void
add_rcpts(struct ctl_client *c, const json_t *msg)
{
	const json_t *rcpt;
	size_t i;

	json_array_foreach(json_object_get(msg, "recipients"), i, rcpt)
		if (c->mailq)
			add_mailq_rcpt(c, rcpt);
		else
			add_rcpt(c, rcpt);
}

/* More recipients of the row that is open: they are its last member. */
static void
add_more(struct ctl_client *c, const json_t *msg)
{
	const json_t *rcpt;
	size_t i;

	if (!c->q.json) {
		add_rcpts(c, msg);
		return;
	}
	json_array_foreach(json_object_get(msg, "recipients"), i, rcpt) {
		ctl_add(c, ",");
		ctl_add_json(c, rcpt, JSON_COMPACT);
	}
}

void
ctl_queue_begin(struct ctl_client *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nargs; i++)
		if (hb_span_eq(c->args[i], HB_SPAN("--mailq")))
			c->mailq = true;
		else
			c->args[n++] = c->args[i];
	c->nargs = n;
	if (n < 2) {
		ctl_begin_rows(c);
		return;
	}
	ctl_err(c, "usage: queue [ID|MESSAGE-ID|DOMAIN|ADDRESS] [--mailq]");
	ctl_exit(c, EX_USAGE);
}

void
ctl_queue_element(struct ctl_client *c, json_t *v)
{
	if (c->row_is_open) {
		add_more(c, v);
		if (c->q.json)
			ctl_add(c, ROW_END);
		c->row_is_open = false;
		return;
	}
	if (!c->q.json) {
		if (c->mailq)
			add_mailq_head(c, v);
		else
			add_msg(c, v);
		add_rcpts(c, v);
	}
	ctl_rows_add(c, v);
}

void
ctl_queue_part(struct ctl_client *c, json_t *v)
{
	if (c->row_is_open) {
		add_more(c, v);
		return;
	}
	ctl_queue_element(c, v);
	if (c->q.json)
		hb_buf_truncate(&c->text, c->text.n - (sizeof(ROW_END) - 1));
	c->row_is_open = true;
}

void
ctl_queue_finish(struct ctl_client *c)
{
	bool good = c->nasks > 0 && c->asks[0]->exit_code == 0;

	/* The queue ended within a row: what is shown is JSON all the same. */
	if (c->row_is_open && c->q.json)
		ctl_add(c, ROW_END);
	ctl_rows_end(c);
	if (!c->q.json && good && c->mailq)
		ctl_addf(c, "\t\tTotal requests: %zu\n", c->rows);
	else if (!c->q.json && good && c->rows == 0)
		ctl_add(c, c->nargs > 0 ? "nothing in the queue matches\n"
					: "the queue is empty\n");
	else if (!c->q.json && good)
		ctl_addf(c, "%zu message%s\n", c->rows,
		    c->rows == 1 ? "" : "s");
	ctl_exit_worst(c);
}

/* The message as it was written: lines end with LF, dots are not stuffed. */
static void
add_message(struct ctl_client *c, struct hb_span text)
{
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 0 && line.p[0] == '.')
			line = hb_span_from(line, 1);
		for (; hb_span_find(line, '\t') < line.n;) {
			ctl_add_safe(c, hb_span_cut(&line, '\t'));
			ctl_add(c, "\t");
		}
		ctl_add_safe(c, line);
		ctl_add(c, "\n");
	}
}

static void
add_envelope(struct ctl_client *c, const json_t *msg)
{
	add_msg(c, msg);
	add_rcpts(c, msg);
	ctl_add_text(c, msg, "<client|client: {client}\n><helo|helo: {helo}\n>"
	    "<user|user: {user}\n><with|with: {with}\n><tls|tls: {tls}\n>"
	    "<held_for|held for: {held_for}\n>");
}

void
ctl_show_finish(struct ctl_client *c)
{
	const struct ctl_ask *a = ctl_first_good(c);
	struct hb_span text;

	if (a == NULL) {
		ctl_exit_worst(c);
		return;
	}
	if (c->q.json) {
		ctl_add_json(c, a->tree.root, JSON_INDENT(2));
		ctl_add(c, "\n");
	} else {
		add_envelope(c, a->tree.root);
		ctl_add(c, "\n");
		text = ctl_member(a->tree.root, "message");
		add_message(c, text);
		if (text.n > 0 && json_integer_value(json_object_get(
		    a->tree.root, "size")) > HB_MAX_IPC_BODY)
			ctl_add(c, "(only the beginning is shown)\n");
	}
	ctl_exit(c, 0);
}
