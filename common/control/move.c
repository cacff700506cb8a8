/*
 * `export` and `import`: a file of waiting mail goes from queue to the client,
 * or back.  Floor 4.
 *
 * Queue writes and checks its content.  At most a window of an import is in
 * transit; while it is full the client is not read from.
 */
#include "config.h"

#include "common/control/control.h"

#include <stdlib.h>

enum { WINDOW = 256 << 10 /* bytes that queue has not read */ };

struct ctl_move {
	size_t flying; /* bytes on their way to queue */
	bool whole;    /* the client has sent all */
	json_t *done;  /* import: how many messages; owned, or NULL */
};

/* True: it went out. */
static bool
send_input(struct ctl_client *c, struct hb_span bytes, bool last)
{
	const struct ctl_ask *a = c->nasks > 0 ? c->asks[0] : NULL;
	struct ipc_ctl_input m = { .bytes = bytes, .last = last };

	if (a == NULL || a->peer == NULL)
		return false;
	m.ref = a->ref;
	hb_peer_post(a->peer, HB_IPC_CTL_INPUT, &m, -1);
	return true;
}

/* Without its client nothing more is to be done. */
static void
free_move(struct ctl_client *c)
{
	struct ctl_move *m = c->state;

	if (!m->whole)
		(void)send_input(c, HB_SPAN_NONE, true);
	json_decref(m->done);
	free(m);
}

static void
begin(struct ctl_client *c, enum hb_ctl_verb verb)
{
	struct ipc_ctl q = { .verb = verb };

	c->state = HB_NEW(struct ctl_move);
	c->free_state = free_move;
	ctl_ask_all(c, HB_TO(QUEUE), &q, true);
	if (c->waiting == 0)
		ctl_exit_worst(c);
}

/* --- export --- */

void
ctl_export_begin(struct ctl_client *c)
{
	c->q.json = false; /* the texts are bytes */
	begin(c, HB_CTL_EXPORT);
}

void
ctl_export_element(struct ctl_client *c, json_t *v)
{
	hb_buf_add(&c->text, ctl_string(v));
}

void
ctl_export_finish(struct ctl_client *c)
{
	struct ctl_move *m = c->state;

	m->whole = true;
	if (c->asks[0]->exit_code == 0)
		ctl_err(c, c->asks[0]->text);
	ctl_exit_worst(c);
}

/* --- import --- */

/* False: more is needed, or there is no more. */
static bool
next_piece(struct ctl_client *c)
{
	struct ctl_move *m = c->state;
	struct hb_ctl_piece piece;
	int used = m->whole
	    ? 0 : hb_ctl_piece_parse(hb_buf_span(&c->more), &piece);

	if (used == 0)
		return false;
	if (used < 0 || piece.kind == HB_CTL_EXIT) {
		m->whole = true;
		(void)send_input(c, HB_SPAN_NONE, true);
		return false;
	}
	if (piece.bytes.n > 0 && send_input(c, piece.bytes, false))
		m->flying += piece.bytes.n;
	hb_buf_consume(&c->more, (size_t)used);
	return true;
}

static void
go_on(struct ctl_client *c)
{
	const struct ctl_move *m = c->state;

	while (m->flying < WINDOW && next_piece(c))
		continue;
	ctl_hold(c, m->flying >= WINDOW || m->whole);
}

void
ctl_move_import_begin(struct ctl_client *c)
{
	begin(c, HB_CTL_IMPORT);
	c->input = go_on;
}

/* A message, or all from a place on, that is not taken. */
static void
tell(struct ctl_client *c, const json_t *v)
{
	struct hb_buf line = HB_BUF_INIT(0);
	struct hb_span id = ctl_member(v, "id");

	hb_buf_addf(&line, "%.*s: byte %lld: ", HB_SPAN_ARG(c->args[0]),
	    (long long)json_integer_value(json_object_get(v, "at")));
	if (id.n > 0)
		hb_buf_addf(&line, "message %.*s: ", HB_SPAN_ARG(id));
	hb_buf_add(&line, ctl_member(v, "why"));
	ctl_err(c, hb_buf_cstr(&line));
	hb_hook_arm(c->write);
	hb_buf_free(&line);
}

/* BYTES that were read; {"at","id","why"}; in the end how many messages. */
void
ctl_move_import_element(struct ctl_client *c, json_t *v)
{
	struct ctl_move *m = c->state;

	if (json_is_integer(v)) {
		size_t n = (size_t)json_integer_value(v);

		m->flying = n < m->flying ? m->flying - n : 0;
		go_on(c);
	} else if (json_object_get(v, "why") != NULL) {
		tell(c, v);
	} else if (m->done == NULL) {
		m->done = json_incref(v);
	}
}

void
ctl_move_import_finish(struct ctl_client *c)
{
	struct ctl_move *m = c->state;
	const json_t *done = m->done;

	m->whole = true;
	if (done != NULL && c->q.json) {
		ctl_add_json(c, done, JSON_COMPACT);
		ctl_add(c, "\n");
	} else if (done != NULL) {
		ctl_addf(c, "imported %lld, here already %lld, refused %lld\n",
		    (long long)json_integer_value(
			json_object_get(done, "imported")),
		    (long long)json_integer_value(
			json_object_get(done, "kept")),
		    (long long)json_integer_value(
			json_object_get(done, "refused")));
	}
	ctl_exit_worst(c);
}
