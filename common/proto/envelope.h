/*
 * Records of envelope, recipient and outcome, and their enums.  Floor 1.  RFC
 * 5321 s2.3.1, RFC 3461.
 */
#ifndef HB_PROTO_ENVELOPE_H
#define HB_PROTO_ENVELOPE_H

#include "common/base/limits.h"
#include "common/proto/tlv.h"

enum hb_body { HB_BODY_7BIT, HB_BODY_8BITMIME, HB_BODY_BINARY, HB_BODY_COUNT };
/* How a recipient is done with: the action in a DSN of success. */
enum hb_handed {
	HB_HANDED_DELIVERED,
	HB_HANDED_RELAYED, /* to a server that tells of no success */
	HB_HANDED_EXPANDED, /* to all targets of an alias */
	HB_HANDED_COUNT
};
enum hb_ret { HB_RET_NONE, HB_RET_FULL, HB_RET_HDRS, HB_RET_COUNT };
enum hb_result {
	HB_RESULT_NONE,
	HB_RESULT_OK,
	HB_RESULT_DEFER,
	HB_RESULT_FAIL,
	HB_RESULT_COUNT
};

/* RFC 3461 s4.1 */
#define HB_NOTIFY_NEVER 1u
#define HB_NOTIFY_SUCCESS 2u
#define HB_NOTIFY_FAILURE 4u
#define HB_NOTIFY_DELAY 8u

/* Flags of a message. */
/* The header section is in UTF-8, RFC 6532; of an address its bytes tell. */
#define HB_ENV_SMTPUTF8 1u
#define HB_ENV_REQUIRETLS 2u   /* RFC 8689 s2 */
#define HB_ENV_8BIT 4u	       /* the body has bytes above 127 */
#define HB_ENV_DOTTED 8u       /* the body has lines that begin with a dot (stuffed in wire form) */
#define HB_ENV_LARGE 16u       /* the body has a file of its own */
#define HB_ENV_HELD 32u	       /* by the operator */
#define HB_ENV_DSN 64u      /* generated here: a DSN about another message */
#define HB_ENV_LOCAL 128u      /* submitted through sendmail on this host */
#define HB_ENV_TLS_OPTIONAL 256u /* "TLS-Required: No" in its header */

/* RFC 8689 s4.1: the REQUIRETLS parameter overrides the header field. */
uint32_t hb_env_one_tls_flag(uint32_t flags);
/* The sender's demand for TLS: "required", "optional" or "". */
const char *hb_env_tls_demand(uint32_t flags);

/* Flags of a recipient. */
#define HB_RCPT_EXPANDED 1u /* result of an alias or list */
#define HB_RCPT_LIST 2u	    /* of a list with its own return path */

/* Whose fault it is that mail waits, is refused or is returned. */
enum hb_fault {
#define HB_FAULT(sym, word, final) HB_FAULT_##sym,
#include "common/proto/fault.def"
	HB_FAULT_COUNT
};
/* Never NULL; "" if nothing is wrong. */
const char *hb_fault_word(enum hb_fault f);

/* Properties of a reason for code that acts on it. */
#define HB_WHY_NO_TLS 1u     /* the host offered no usable TLS */
#define HB_WHY_DNSSEC 2u     /* signed DNS records could satisfy the demand */
#define HB_WHY_PASSES 4u     /* a fact was unavailable: time may cure it */
#define HB_WHY_UNREACHED 8u  /* the destination itself is in trouble */
#define HB_WHY_OPEN 16u	     /* the connection has yet to show it */
#define HB_WHY_NO_HOST 32u   /* no host accepts the domain's mail */
#define HB_WHY_NO_ADDRESS 64u /* the host has no address, or none is known */
#define HB_WHY_NO_USER 128u

enum hb_reason {
#define HB_REASON(sym, ...) HB_REASON_##sym,
#include "common/proto/reason.def"
	HB_REASON_COUNT
};

/* Never NULL; "" for HB_REASON_NONE and unknown values. */
const char *hb_reason_word(enum hb_reason r);
/* The reason named WORD, or HB_REASON_NONE if there is none. */
enum hb_reason hb_reason_find(struct hb_span word);
const char *hb_reason_text(enum hb_reason r);
/* Advice: what would change the result, and who can do it; a sentence or "". */
const char *hb_reason_advice(enum hb_reason r);
enum hb_fault hb_reason_fault(enum hb_reason r);
/* May mail be refused or returned for it at once?  Not for a fault of the
 * operator or this server: nobody else can mend that, so the mail waits. */
bool hb_reason_is_final(enum hb_reason r);
/* Has it any of these properties (HB_WHY_*)? */
bool hb_reason_means(enum hb_reason r, unsigned what);
/* DEFER or FAIL, the usual result; NONE: the reason alone refuses nothing. */
enum hb_result hb_reason_result(enum hb_reason r);
/* Reply code and enhanced code of a DEFER or FAIL for this reason; 0 and "" if
 * it has none of its own. */
unsigned hb_reason_code(enum hb_reason r, enum hb_result as);
const char *hb_reason_status(enum hb_reason r, enum hb_result as);
/* "ok", "defer", "fail" */
const char *hb_result_word(enum hb_result r);

#define RECORD_STRUCT(name) hb_##name
#include "common/proto/record-struct.h"
#include "common/proto/envelope.def"
#include "common/proto/outcome.def"
#include "common/proto/record-undef.h"

/* The reply's code; without a reply, the equivalent one: 250, 451 or 550. */
unsigned hb_outcome_code(const struct hb_outcome *o);
/* The enhanced code; if the reply had none, the generic one of its class:
 * 2.0.0, 4.0.0 or 5.0.0. */
struct hb_span hb_outcome_status(const struct hb_outcome *o);

/* Reason of the attempt for the log: host-down if the host was not tried again
 * because of a remembered failure.  All other readers get the remembered
 * reason. */
enum hb_reason hb_outcome_reason(const struct hb_outcome *o);

extern const struct hb_record hb_env_record;
extern const struct hb_record hb_rcpt_record;
extern const struct hb_record hb_outcome_record;

/* 16 hexadecimal digits and a NUL into DST[17]. */
void hb_msgid_format(uint64_t id, char dst[17]);

/* The recipient numbered IDX in V, N recipients sorted by idx; or NULL. */
const struct hb_rcpt *hb_rcpt_find(const struct hb_rcpt *v, size_t n,
    uint32_t idx);

#endif
