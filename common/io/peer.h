/*
 * A channel to another role: frames of ipc.def, some with a descriptor, over a
 * unix stream socketpair.  Floor 3.
 *
 * Frames are gathered and written once at the end of the loop's turn; all that
 * have arrived are read at once.  A malformed frame, or one that this pair may
 * not carry, closes the channel (on_close), never the process.
 */
#ifndef HB_IO_PEER_H
#define HB_IO_PEER_H

#include "common/io/loop.h"
#include "common/proto/ipc.h"

struct hb_peer;

/* M is the frame, its spans live until the handler returns.  FD: -1, or a
 * descriptor that the handler now owns.  False: the frame is not expected
 * here, and FD is not taken.  handlers.h makes one for a role. */
typedef bool (*hb_peer_handler)(void *ctx, struct hb_peer *p,
    enum hb_ipc_type type, const union hb_ipc_any *m, int fd);

struct hb_peer_ops {
	hb_peer_handler on;
	/* The channel is gone (WHY: text).  The peer is freed afterwards. */
	void (*on_close)(void *ctx, struct hb_peer *p, const char *why);
	/* The output, which had reached half of its bound, fell to a quarter of
	 * it.  May be NULL. */
	void (*on_drain)(void *ctx, struct hb_peer *p);
};

/* Takes FD.  OPS is borrowed for the peer's life. */
struct hb_peer *hb_peer_new(struct hb_loop *l, int fd, enum hb_role self,
    enum hb_role other, unsigned instance, const struct hb_peer_ops *ops,
    void *ctx);
/* Closes without on_close.  Safe inside a handler. */
void hb_peer_free(struct hb_peer **p);
/* Reports that the content of a frame is not allowed now: closes the channel
 * and calls on_close. */
void hb_peer_violation(struct hb_peer *p, const char *why);
/* Inside on_close: true if the other side violated the protocol instead of just
 * ending.  Then report it to the parent, or the pair will never talk again. */
bool hb_peer_broke(const struct hb_peer *p);

/*
 * Queues one frame.  The kernel duplicates FD (-1: none): the caller keeps its
 * own.  Returns 0; HB_E_LIMIT if more than the bound (16 MiB) waits; other
 * codes as hb_ipc_encode (a bug of ours).
 */
int hb_peer_send(struct hb_peer *p, enum hb_ipc_type type, const void *msg,
    int fd) HB_MUSTCHECK;
/* The same where failure means that the peer is lost (it does not read, which
 * violates the protocol).  The peer is closed, with on_close, at the end of the
 * turn; frames posted until then are discarded. */
void hb_peer_post(struct hb_peer *p, enum hb_ipc_type type, const void *msg,
    int fd);
size_t hb_peer_pending(const struct hb_peer *p); /* bytes not written yet */
/* Stops reading (back-pressure) and resumes it. */
void hb_peer_pause(struct hb_peer *p, bool pause);
/* Writes the queued frames, blocking up to MS: before an orderly exit. */
void hb_peer_flush(struct hb_peer *p, int ms);

/* A new channel is SERVING; who knows better says so. */
void hb_peer_set_state(struct hb_peer *p, enum hb_channel state);
enum hb_channel hb_peer_state(const struct hb_peer *p);

enum hb_role hb_peer_role(const struct hb_peer *p);
unsigned hb_peer_instance(const struct hb_peer *p);
/* Each channel of a process has a number of its own, above 0.  Who answers
 * later keeps it: a new process may have a channel at the same address, and
 * means other questions by its numbers.  The second: is P, or NULL, that one? */
uint64_t hb_peer_number(const struct hb_peer *p);
bool hb_peer_is(const struct hb_peer *p, uint64_t number);

#endif
