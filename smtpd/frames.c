/*
 * Frames to and from router and queue, and the files that queue makes.  One
 * that keeps a body while filters look at it has no name: whatever happens to
 * smtpd, nothing of it is left.  Floor 4.
 */
#include "config.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/file.h"
#include "smtpd/worker.h"

enum {
	SLICE = 1 << 20, /* copied in a turn */
	PIECE = 65536
};

/* --- to router --- */

/* A router that is lost or full is asked again when it is back, else the
 * question times out. */
static void
ask(struct smtpd_client *c, enum hb_ipc_type type, const void *msg)
{
	struct hb_peer *r = hb_role_peer(c->worker->env, HB_ROLE_ROUTER, 0);

	if (r != NULL)
		(void)!hb_peer_send(r, type, msg, -1);
}

static void
ask_check(struct smtpd_client *c, const struct ipc_check *question)
{
	struct ipc_check m = *question;

	m.ref = smtpd_client_ref(c, question->ref);
	ask(c, HB_IPC_CHECK, &m);
}

static void
ask_auth(struct smtpd_client *c, const struct ipc_auth *question)
{
	struct ipc_auth m = *question;

	m.ref = smtpd_client_ref(c, question->ref);
	ask(c, HB_IPC_AUTH, &m);
}

/* --- to queue --- */

static void
close_file(struct smtpd_client *c)
{
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
}

/* False: the transaction cannot go on. */
static bool
put(struct smtpd_client *c, enum hb_ipc_type type, const void *msg)
{
	struct hb_peer *q = hb_role_peer(c->worker->env, HB_ROLE_QUEUE, 0);

	return q != NULL && hb_peer_send(q, type, msg, -1) == 0;
}

void
smtpd_frames_end(struct smtpd_client *c)
{
	close_file(c);
	c->txn = 0;
}

static void
put_abort(struct smtpd_client *c)
{
	struct ipc_txn_abort m = { .txn = c->txn };

	if (c->txn != 0 && !put(c, HB_IPC_TXN_ABORT, &m))
		HB_LOG(HB_LOG_WARN, HB_EV_PEER,
		    hb_kv_str(HB_K_PEER, "queue"),
		    hb_kv_str(HB_K_STATE, "full"));
	smtpd_frames_end(c);
}

/* Bytes could not be handed on: queue drops what it has of it, the client
 * tries again later. */
static void
give_up(struct smtpd_client *c, bool no_space)
{
	put_abort(c);
	smtpd_session_write_failed(c->session, no_space);
}

static bool
put_rcpt(struct smtpd_client *c, const struct hb_rcpt *r)
{
	struct hb_buf *b = &c->worker->scratch;
	struct ipc_txn_rcpt m = { .txn = c->txn };

	hb_buf_clear(b);
	if (hb_tlv_encode(&hb_rcpt_record, r, b) < 0)
		return false;
	m.rcpt = hb_buf_span(b);
	return put(c, HB_IPC_TXN_RCPT, &m);
}

static bool
put_begin(struct smtpd_client *c, const struct hb_env *e)
{
	struct hb_buf *b = &c->worker->scratch;
	struct ipc_txn_begin m = { 0 };
	struct hb_rcpt r;
	bool ok;

	smtpd_frames_end(c);
	c->txn = m.txn = smtpd_client_txn(c);
	hb_buf_clear(b);
	if (hb_tlv_encode(&hb_env_record, e, b) < 0)
		return false;
	m.env = hb_buf_span(b);
	ok = put(c, HB_IPC_TXN_BEGIN, &m);
	for (uint32_t i = 0; ok && smtpd_session_rcpt(c->session, i, &r); i++)
		ok = put_rcpt(c, &r);
	return ok;
}

/* TYPE: TXN_DATA or TXN_HEAD. */
static bool
put_bytes(struct smtpd_client *c, enum hb_ipc_type type, struct hb_span bytes)
{
	bool ok = true;

	while (ok && bytes.n > 0) {
		struct hb_span piece = hb_span_take(&bytes, HB_MAX_IPC_BODY);
		struct ipc_txn_data data = { .txn = c->txn, .bytes = piece };
		struct ipc_txn_head head = { .txn = c->txn, .bytes = piece };

		ok = type == HB_IPC_TXN_HEAD ? put(c, type, &head)
					     : put(c, type, &data);
	}
	return ok;
}

static bool
is_full(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

static void
write_file(struct smtpd_client *c, struct hb_span data)
{
	int r = hb_write_all(c->file, data);

	if (r == 0)
		return;
	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "write"),
	    hb_kv_str(HB_K_ERROR, strerror(-r)));
	give_up(c, is_full(-r));
}

static bool
put_commit(struct smtpd_client *c, const struct ipc_txn_commit *commit)
{
	struct ipc_txn_commit m = *commit;

	m.txn = c->txn;
	close_file(c);
	return put(c, HB_IPC_TXN_COMMIT, &m);
}

static bool
put_large(struct smtpd_client *c)
{
	struct ipc_txn_large m = { .txn = c->txn };

	return put(c, HB_IPC_TXN_LARGE, &m);
}

static void
put_etrn(struct smtpd_client *c, const struct ipc_etrn *question)
{
	struct ipc_etrn m = *question;

	m.ref = smtpd_client_ref(c, question->ref);
	if (!put(c, HB_IPC_ETRN, &m))
		smtpd_session_etrn(c->session, NULL);
}

void
smtpd_frames_act(struct smtpd_client *c, const struct smtpd_act *a)
{
	bool ok = true;

	if (a->kind == SMTPD_ACT_CHECK)
		ask_check(c, &a->check);
	else if (a->kind == SMTPD_ACT_AUTH)
		ask_auth(c, &a->auth);
	else if (a->kind == SMTPD_ACT_ETRN)
		put_etrn(c, &a->etrn);
	else if (a->kind == SMTPD_ACT_BEGIN)
		ok = put_begin(c, &a->begin);
	else if (a->kind == SMTPD_ACT_DATA && c->file >= 0)
		write_file(c, a->data);
	else if (a->kind == SMTPD_ACT_DATA)
		ok = put_bytes(c, HB_IPC_TXN_DATA, a->data);
	else if (a->kind == SMTPD_ACT_LARGE)
		ok = put_large(c);
	else if (a->kind == SMTPD_ACT_HEAD)
		ok = put_bytes(c, HB_IPC_TXN_HEAD, a->data);
	else if (a->kind == SMTPD_ACT_COMMIT)
		ok = put_commit(c, &a->commit);
	else
		put_abort(c);
	if (!ok)
		give_up(c, false);
}

/* --- a body that filters look at --- */

void
smtpd_kept_end(struct smtpd_client *c)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(c->kept); i++) {
		if (c->kept[i] >= 0)
			close(c->kept[i]);
		c->kept[i] = -1;
	}
	c->kept_ref = 0;
	hb_timer_free(&c->copy);
}

static void
keep_failed(struct smtpd_client *c, int error)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "keep"),
	    hb_kv_str(HB_K_ERROR, strerror(error)));
	smtpd_session_write_failed(c->session, is_full(error));
}

static void
ask_for_file(struct smtpd_client *c, const struct smtpd_keep *k)
{
	struct hb_peer *q = hb_role_peer(c->worker->env, HB_ROLE_QUEUE, 0);
	struct ipc_txn_keep m = { .txn = smtpd_client_txn(c), .id = k->id };

	c->kept_ref = m.txn;
	c->kept_file = k->file;
	if (q == NULL || hb_peer_send(q, HB_IPC_TXN_KEEP, &m, -1) < 0)
		keep_failed(c, EPIPE);
}

static void
read_piece(struct smtpd_client *c, const struct smtpd_keep *k)
{
	struct hb_buf *b = &c->worker->scratch;
	unsigned char *room;
	ssize_t n;

	hb_buf_clear(b);
	if (hb_buf_reserve(b, k->n, &room) < 0)
		return;
	n = pread(c->kept[k->file], room, k->n, (off_t)k->at);
	if (n > 0)
		smtpd_session_read(c->session, hb_span(room, (size_t)n));
	else
		keep_failed(c, n < 0 ? errno : EIO);
}

/* Copies up to a slice.  1: there is more, 0, or -errno. */
static int
copy_slice(struct smtpd_client *c)
{
	struct hb_buf *b = &c->worker->scratch;
	unsigned char *room;

	for (size_t done = 0; done < SLICE;) {
		ssize_t n;
		int r;

		hb_buf_clear(b);
		if (hb_buf_reserve(b, PIECE, &room) < 0)
			return -ENOMEM;
		n = pread(c->kept[c->kept_file], room, PIECE,
		    (off_t)c->copied);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = hb_write_all(c->file, hb_span(room, (size_t)n));
		if (r < 0)
			return r;
		done += (size_t)n;
		c->copied += (uint64_t)n;
	}
	return 1;
}

static void
on_copy(void *ctx)
{
	struct smtpd_client *c = ctx;
	int r = copy_slice(c);

	if (r > 0) {
		hb_timer_set(c->copy, 1);
		return;
	}
	if (r < 0)
		keep_failed(c, -r);
	else
		smtpd_session_copied(c->session);
	smtpd_client_run(c);
}

void
smtpd_kept_act(struct smtpd_client *c, const struct smtpd_act *a)
{
	int r;

	if (a->kind == SMTPD_ACT_KEEP_OPEN) {
		ask_for_file(c, &a->keep);
	} else if (a->kind == SMTPD_ACT_KEEP_WRITE) {
		r = hb_write_all(c->kept[a->keep.file], a->keep.data);
		if (r < 0)
			keep_failed(c, -r);
	} else if (a->kind == SMTPD_ACT_KEEP_READ) {
		read_piece(c, &a->keep);
	} else if (a->kind == SMTPD_ACT_KEEP_COPY) {
		c->kept_file = a->keep.file;
		c->copied = 0;
		if (c->copy == NULL)
			c->copy = hb_timer_new(c->worker->env->loop, on_copy,
			    c);
		hb_timer_set(c->copy, 1);
	} else {
		smtpd_kept_end(c);
	}
}

/* --- from both --- */

void
smtpd_on_verdict(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_verdict *m)
{
	struct ipc_verdict answer = *m;
	struct smtpd_client *c = smtpd_worker_find(w, m->ref);

	if (c == NULL)
		return;
	answer.ref >>= SMTPD_REF_BITS;
	smtpd_session_verdict(c->session, &answer);
	smtpd_client_run(c);
}

void
smtpd_on_auth_result(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_auth_result *m)
{
	struct ipc_auth_result answer = *m;
	struct smtpd_client *c = smtpd_worker_find(w, m->ref);

	if (c == NULL)
		return;
	answer.ref >>= SMTPD_REF_BITS;
	smtpd_session_auth(c->session, &answer);
	smtpd_client_run(c);
}

void
smtpd_on_etrn_result(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_etrn_result *m)
{
	struct ipc_etrn_result answer = *m;
	struct smtpd_client *c = smtpd_worker_find(w, m->ref);

	if (c == NULL)
		return;
	answer.ref >>= SMTPD_REF_BITS;
	smtpd_session_etrn(c->session, &answer);
	smtpd_client_run(c);
}

void
smtpd_on_auth_offer(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_auth_offer *m)
{
	w->site.scram = m->scram != 0;
}

static struct smtpd_client *
sender_of(struct smtpd_worker *w, uint32_t txn)
{
	struct smtpd_client *c = smtpd_worker_find(w, txn);

	return c != NULL && c->txn == txn ? c : NULL;
}

void
smtpd_on_txn_result(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_txn_result *m)
{
	struct smtpd_client *c = sender_of(w, m->txn);

	if (c == NULL)
		return;
	smtpd_frames_end(c);
	smtpd_session_result(c->session, m);
	smtpd_client_run(c);
}

void
smtpd_on_txn_large_fd(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_txn_large_fd *m, int fd)
{
	struct smtpd_client *c = sender_of(w, m->txn);

	if (c == NULL || c->file >= 0) {
		close(fd);
		if (c != NULL)
			hb_peer_violation(p, "a second file for a message");
		return;
	}
	c->file = fd;
	smtpd_session_large(c->session);
	smtpd_client_run(c);
}

void
smtpd_on_txn_keep_fd(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_txn_keep_fd *m, int fd)
{
	struct smtpd_client *c = smtpd_worker_find(w, m->txn);

	if (c == NULL || c->kept_ref != m->txn) {
		if (m->error == 0)
			close(fd);
		return;
	}
	c->kept_ref = 0;
	if (m->error != 0) {
		keep_failed(c, (int)m->error);
	} else {
		if (c->kept[c->kept_file] >= 0)
			close(c->kept[c->kept_file]);
		c->kept[c->kept_file] = fd;
		smtpd_session_kept(c->session);
	}
	smtpd_client_run(c);
}

void
smtpd_on_space(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_space *m)
{
	w->site.space = m->bytes;
}

void
smtpd_on_listen(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_listen *m, int fd)
{
	smtpd_worker_listen(w, m->index, fd);
}

void
smtpd_on_listen_stop(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_listen_stop *m)
{
	smtpd_worker_unlisten(w);
}

void
smtpd_on_counters(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_counters *m, int fd)
{
	if (hb_counters_add(&w->counters, fd, m->size, m->part,
		w->env->instance) < 0)
		hb_peer_violation(p, "COUNTERS is no table");
}
