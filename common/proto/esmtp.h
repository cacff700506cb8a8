/*
 * Command lines and the parameters of MAIL and RCPT.  Floor 1.
 * RFC 5321 s4.1.1, s4.1.2; RFC 1870, 3461, 4954, 6152, 6531,
 * 8689.
 */
#ifndef HB_PROTO_ESMTP_H
#define HB_PROTO_ESMTP_H

#include "common/proto/address.h"
#include "common/proto/envelope.h"

/*
 * Splits LINE, without its CRLF, into the verb and its arguments, without
 * blanks at both ends.  Returns 0, or HB_E_SYNTAX: empty, no verb of 1 to 32
 * letters at its front, or a control byte anywhere (a bare CR, LF, NUL).
 */
int hb_command_split(struct hb_span line, struct hb_span *verb,
    struct hb_span *args) HB_MUSTCHECK;

/* keyword, name of its value or "nothing", command */
#define HB_PARAMS(X)                                                           \
	X(SIZE, size, MAIL)                                                    \
	X(BODY, body, MAIL)                                                    \
	X(RET, ret, MAIL)                                                      \
	X(ENVID, envid, MAIL)                                                  \
	X(AUTH, auth, MAIL)                                                    \
	X(REQUIRETLS, nothing, MAIL)                                           \
	X(SMTPUTF8, nothing, MAIL)                                             \
	X(NOTIFY, notify, RCPT)                                                \
	X(ORCPT, orcpt, RCPT)

enum hb_param_number {
#define X(sym, name, command) HB_PARAM_NUMBER_##sym,
	HB_PARAMS(X)
#undef X
	HB_PARAM_COUNT
};
enum hb_param {
#define X(sym, name, command) HB_PARAM_##sym = 1 << HB_PARAM_NUMBER_##sym,
	HB_PARAMS(X)
#undef X
};
enum hb_param_command { HB_PARAM_FOR_MAIL, HB_PARAM_FOR_RCPT };

/* Values of the parameters in SEEN; spans point into the line. */
struct hb_params {
	unsigned seen; /* HB_PARAM_* */
	uint64_t size; /* UINT64_MAX: more digits than fit */
	uint32_t body; /* enum hb_body */
	uint32_t ret;  /* enum hb_ret */
	uint32_t notify;
	struct hb_span envid, orcpt; /* as received */
	struct hb_span auth;	     /* xtext; "<>" */
	struct hb_span wrong;	     /* the parameter that is */
};

/* With HB_ADDR_*: "<" and ">" around the path may be missing. */
#define HB_COMMAND_NO_BRACKETS 256u

/*
 * Parses ARGS of MAIL or RCPT ("FROM:<path> PARAMS"): PREFIX is "FROM:" or
 * "TO:".  Blanks after the colon are allowed.  *PARAMS: the rest after the
 * path.  Returns 0 or an error of hb_addr_parse_path, with path->fault.
 */
int hb_command_path(struct hb_span args, struct hb_span prefix,
    unsigned addr_flags, struct hb_addr *path,
    struct hb_span *params) HB_MUSTCHECK;

/*
 * Parses parameters separated by blanks; ALLOWED: those valid here.  Returns 0;
 * HB_E_UNSUPPORTED: one is unknown or not allowed (555); HB_E_SYNTAX: a bad
 * value, a value where none is allowed, or a duplicate (501).
 */
int hb_params_parse(struct hb_span s, enum hb_param_command command,
    unsigned allowed, struct hb_params *out) HB_MUSTCHECK;

/* The value of NOTIFY= for HB_NOTIFY_* bits. */
void hb_notify_format(uint32_t notify, struct hb_buf *out);

#endif
