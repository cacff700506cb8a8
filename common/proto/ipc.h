/*
 * Frames between roles.  Floor 1: enum, structs and codec from ipc.def; the
 * channel itself is common/io/peer.h.
 *
 * A frame: payload length (4 bytes, little-endian), type (2 bytes), 1 if a
 * descriptor comes with it (1 byte), a zero byte, then the payload as TLV.  At
 * most HB_MAX_IPC_FRAME bytes in all.
 */
#ifndef HB_PROTO_IPC_H
#define HB_PROTO_IPC_H

#include "common/proto/envelope.h"
#include "common/proto/role.h"
#include "common/proto/scram.h"

enum hb_file_kind {
	HB_FILE_CERT,	/* PEM chain of tls-certificate INDEX */
	HB_FILE_KEY,	/* PEM key of tls-certificate INDEX */
	HB_FILE_CA,	/* PEM bundle, INDEX counts ca-file */
	HB_FILE_RESOLV, /* resolv.conf */
	HB_FILE_HOSTS,	/* hosts-file */
	HB_FILE_AUTH,	/* smarthost auth=FILE */
	HB_FILE_INTERFACES, /* this host's addresses, one a line */
	HB_FILE_COUNT
};
enum hb_stage {
	HB_STAGE_MAIL,
	HB_STAGE_RCPT,
	HB_STAGE_COUNT
};
enum hb_action {
	HB_ACTION_TEMPFAIL, /* zero: the meaning of an empty answer */
	HB_ACTION_ACCEPT,
	HB_ACTION_REJECT,
	HB_ACTION_DISCARD,
	HB_ACTION_COUNT
};
/* What AUTH asks: is it the password, or is it the proof of SCRAM, for which
 * the login's salt is asked before. */
enum hb_auth_question {
	HB_AUTHQ_PASSWORD,
	HB_AUTHQ_SALT,
	HB_AUTHQ_PROOF,
	HB_AUTHQ_COUNT
};
enum hb_auth { HB_AUTH_TEMP, HB_AUTH_OK, HB_AUTH_REFUSED, HB_AUTH_COUNT };
enum hb_local_kind {
	HB_LOCAL_NONE,
	HB_LOCAL_MAILDIR,
	HB_LOCAL_MBOX,
	HB_LOCAL_COMMAND,
	HB_LOCAL_FILE, /* an alias "/path": appended as mbox, no template */
	HB_LOCAL_PIPE, /* an alias "|command": given to the shell, no template */
	HB_LOCAL_COUNT
};
/* How the helper of a local delivery chose its account. */
#define HB_HELPER_OWN "own"
#define HB_HELPER_NOBODY "nobody" /* for want of another account */
#define HB_HELPER_LOST "lost"	  /* its account cannot be found */

enum hb_table {
	HB_TABLE_POLICY,
	HB_TABLE_LEDGER,
	HB_TABLE_GREY, /* queue/manager/grey.h */
	HB_TABLE_COUNT
};
enum hb_sign_alg {
	HB_SIGN_NONE,
	HB_SIGN_RSA_PKCS1,
	HB_SIGN_RSA_PSS,
	HB_SIGN_ECDSA,
	HB_SIGN_ED25519,
	HB_SIGN_COUNT
};
/* Requests of control: symbol, word of hauberkctl, the role that answers, and
 * may a user other than root and the daemon's ask it */
#define HB_CTL_VERBS(X)                                                        \
	X(STATUS, "status", HB_ANY, true)                                      \
	X(STATS, "stats", HB_ANY & ~HB_TO(PARENT) & ~HB_TO(CONTROL), false)    \
	X(QUEUE, "queue", HB_TO(QUEUE), true) /* others: only their own */     \
	X(SHOW, "show", HB_TO(QUEUE), false)                                   \
	X(TRACE, "trace", HB_TO(QUEUE), false)                                 \
	X(FLUSH, "flush", HB_TO(QUEUE), false)                                 \
	X(REMOVE, "remove", HB_TO(QUEUE), false)                               \
	X(HOLD, "hold", HB_TO(QUEUE), false)                                   \
	X(RELEASE, "release", HB_TO(QUEUE), false)                             \
	X(BOUNCE, "bounce", HB_TO(QUEUE), false)                               \
	X(EXPORT, "export", HB_TO(QUEUE), false)                               \
	X(IMPORT, "import", HB_TO(QUEUE), false)                               \
	X(EXPLAIN, "explain", HB_TO(ROUTER), false)                            \
	X(EXPLAIN_ROUTE, "", HB_TO(DELIVERY), false)                           \
	X(STS_LIST, "sts-list", HB_TO(DELIVERY), false)                        \
	X(STS_SHOW, "sts-show", HB_TO(DELIVERY), false)                        \
	X(STS_REFRESH, "sts-refresh", HB_TO(DELIVERY), false)                  \
	X(STS_EXPIRE, "sts-expire", HB_TO(DELIVERY), false)                    \
	X(STS_FORGET, "sts-forget", HB_TO(DELIVERY), false)                    \
	X(STS_EXPORT, "sts-export", HB_TO(DELIVERY), false)                    \
	X(STS_IMPORT, "sts-import", HB_TO(DELIVERY), false)                    \
	X(LEDGER_LIST, "ledger-list", HB_TO(DELIVERY), false)                  \
	X(LEDGER_SHOW, "ledger-show", HB_TO(DELIVERY), false)                  \
	X(LEDGER_FORGET, "ledger-forget", HB_TO(DELIVERY), false)              \
	X(SESSIONS, "sessions", HB_TO(SMTPD), false)                           \
	X(RELOAD, "reload", HB_TO(PARENT), false)                              \
	X(STOP, "stop", HB_TO(PARENT), false)                                  \
	X(PAUSE, "pause", HB_TO(PARENT), false)                                \
	X(RESUME, "resume", HB_TO(PARENT), false)                              \
	X(LAB_ADVANCE, "lab-advance", HB_TO(PARENT), false)                    \
	X(LOG_LEVEL, "log-level", HB_ANY, false)
enum hb_ctl_verb {
#define X(sym, word, roles, all) HB_CTL_##sym,
	HB_CTL_VERBS(X)
#undef X
	HB_CTL_COUNT
};
/* Bytes of one job's JOB_BODY together: a header section, and as much of a body
 * as has no file of its own. */
enum { HB_MAX_JOB_BYTES = 2 * (HB_MAX_HEADER_BYTES + HB_MAX_LARGE_MESSAGE) };

/* Answers travel as tokens of one JSON value. */
enum hb_item_kind {
	HB_ITEM_STR,
	HB_ITEM_INT,
	HB_ITEM_TIME, /* num: ms since 1970, shown as RFC 3339 */
	HB_ITEM_BOOL,
	HB_ITEM_NULL,
	HB_ITEM_OBJECT, /* opens */
	HB_ITEM_ARRAY,	/* opens */
	HB_ITEM_CLOSE,	/* closes the innermost object or array */
	HB_ITEM_COUNT
};

enum hb_ipc_type {
#define I_MSG(SYM, name, from, to, when, fd) HB_IPC_##SYM,
#include "common/proto/record-none.h"
#include "common/proto/ipc.def"
	HB_IPC_COUNT
#undef I_MSG
#include "common/proto/record-undef.h"
};

/* The state of a channel, for what comes by it. */
enum hb_channel {
	HB_CHANNEL_STARTING, /* parent and role, until the role is ready */
	HB_CHANNEL_CLAIMING, /* from delivery, until its CLAIMS_END */
	HB_CHANNEL_SERVING,
	HB_CHANNEL_COUNT
};
/* When a frame is legal. */
#define HB_WHEN_ALWAYS ((1u << HB_CHANNEL_COUNT) - 1)
#define HB_WHEN_CLAIMING (1u << HB_CHANNEL_CLAIMING)
#define HB_WHEN_SERVING (1u << HB_CHANNEL_SERVING)

/* struct ipc_check { uint32_t ref; ... }, one for each frame type. */
#define I_MSG(SYM, name, from, to, when, fd)                                   \
	struct ipc_##name {                                                    \
		uint32_t nofield_;
#include "common/proto/record-struct.h"
#include "common/proto/ipc.def"
#undef I_MSG
#include "common/proto/record-undef.h"

struct hb_ipc_info {
	struct hb_record record;
	uint32_t from, to; /* masks of roles */
	uint32_t when;	   /* mask of states of the channel */
	bool has_fd, needs_fd;
};

/* NULL for an unknown number. */
const struct hb_ipc_info *hb_ipc_info(unsigned type);
bool hb_ipc_may_send(unsigned type, enum hb_role from, enum hb_role to);

enum { HB_IPC_HEAD = 8 };

/* Appends a whole frame.  Returns 0, HB_E_RANGE, HB_E_LIMIT. */
int hb_ipc_encode(enum hb_ipc_type type, const void *msg,
    struct hb_buf *out) HB_MUSTCHECK;

/* Sets or reads the mark in an encoded frame that a descriptor comes with
 * it. */
void hb_ipc_mark_fd(unsigned char *frame);
bool hb_ipc_has_fd(struct hb_span frame);

/* The largest frame struct, as storage for a decoder. */
union hb_ipc_any {
#define I_MSG(SYM, name, from, to, when, fd) struct ipc_##name name;
#include "common/proto/record-none.h"
#include "common/proto/ipc.def"
#undef I_MSG
#include "common/proto/record-undef.h"
};

/*
 * Decodes one frame at the front of IN.  Returns bytes used; 0 if IN holds no
 * complete frame yet; HB_E_LIMIT (frame too long), HB_E_SYNTAX (bad head,
 * unknown type or payload), HB_E_RANGE.  Byte fields point into IN.
 */
int hb_ipc_decode(struct hb_span in, enum hb_ipc_type *type,
    union hb_ipc_any *msg) HB_MUSTCHECK;

#endif
