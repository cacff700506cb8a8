/*
 * Files in which a body waits while filters look at it.  Floor 4.  Queue makes
 * them, without a name: whatever happens to smtpd, nothing is left of them.
 */
#include "config.h"

#include <errno.h>
#include <unistd.h>

#include "common/io/file.h"
#include "smtpd/worker.h"

enum {
	SLICE = 1 << 20, /* copied in a turn */
	PIECE = 65536
};

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
failed(struct smtpd_client *c, int error)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "keep"),
	    hb_kv_str(HB_K_ERROR, strerror(error)));
	smtpd_session_write_failed(c->session,
	    error == ENOSPC || error == EDQUOT || error == EFBIG);
}

static void
ask(struct smtpd_client *c, const struct smtpd_keep *k)
{
	struct hb_peer *q = hb_role_peer(c->worker->env, HB_ROLE_QUEUE, 0);
	struct ipc_txn_keep m = { .txn = smtpd_client_txn(c), .id = k->id };

	c->kept_ref = m.txn;
	c->kept_file = k->file;
	if (q == NULL || hb_peer_send(q, HB_IPC_TXN_KEEP, &m, -1) < 0)
		failed(c, EPIPE);
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
		failed(c, n < 0 ? errno : EIO);
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
		failed(c, -r);
	else
		smtpd_session_copied(c->session);
	smtpd_client_run(c);
}

void
smtpd_kept_act(struct smtpd_client *c, const struct smtpd_act *a)
{
	int r;

	if (a->kind == SMTPD_ACT_KEEP_OPEN) {
		ask(c, &a->keep);
	} else if (a->kind == SMTPD_ACT_KEEP_WRITE) {
		r = hb_write_all(c->kept[a->keep.file], a->keep.data);
		if (r < 0)
			failed(c, -r);
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
		failed(c, (int)m->error);
	} else {
		if (c->kept[c->kept_file] >= 0)
			close(c->kept[c->kept_file]);
		c->kept[c->kept_file] = fd;
		smtpd_session_kept(c->session);
	}
	smtpd_client_run(c);
}
