/*
 * The format of files that hauberk-submit leaves in maildrop/ and queue takes.
 * Floor 1, pure.  Any user may run the program that writes them: everything in
 * them is checked.
 *
 *	0   8  "HBDROP1\n"
 *	8   4  bytes of the envelope record (little-endian, as all below)
 *	12  4  bytes of the recipients
 *	16  8  bytes of the body
 *	24  4  CRC-32C of envelope, recipients and body
 *	28  4  CRC-32C of bytes 0 to 27
 *	32     envelope: hb_env record; queue chooses id and arrived_ms
 *	       recipients: each 4 bytes of length, then an hb_rcpt record
 *	       body in wire form: CRLF, dots stuffed, no final dot
 *
 * A file is written under a name that begins with "." and renamed when it is
 * complete and flushed.  Names: letters, digits and dots, 1 to 64 bytes.
 */
#ifndef HB_PROTO_MAILDROP_H
#define HB_PROTO_MAILDROP_H

#include "common/proto/envelope.h"

enum {
	HB_DROP_HEAD = 32,
	HB_DROP_NAME_MAX = 64,
	HB_DROP_ENV_MAX = 8192,
	HB_DROP_RCPTS_MAX = 16 << 20
};

struct hb_drop_head {
	uint32_t env_n, rcpts_n, crc;
	uint64_t body_n;
};

/* Parses the first 32 bytes of a file.  0; HB_E_MORE (shorter); HB_E_SYNTAX
 * (not such a file); HB_E_CORRUPT; HB_E_LIMIT. */
int hb_drop_head_parse(struct hb_span s, struct hb_drop_head *out)
    HB_MUSTCHECK;
/* Appends the 32 bytes of a head. */
void hb_drop_head_put(const struct hb_drop_head *h, struct hb_buf *out);

/* ENV: env_n bytes.  The sender and every other text may be empty.  0 or an
 * error of hb_tlv_decode. */
int hb_drop_env(struct hb_span env, struct hb_env *out) HB_MUSTCHECK;
/*
 * Takes the next recipient off the front of *RCPTS (rcpts_n bytes in all).  1
 * with OUT filled; 0 at the end; HB_E_SYNTAX, HB_E_MORE, HB_E_RANGE.
 */
int hb_drop_rcpt(struct hb_span *rcpts, struct hb_rcpt *out) HB_MUSTCHECK;
/* Appends a recipient.  0 or HB_E_RANGE, HB_E_LIMIT. */
int hb_drop_rcpt_put(const struct hb_rcpt *r, struct hb_buf *out)
    HB_MUSTCHECK;

bool hb_drop_is_name(struct hb_span name);

#endif
