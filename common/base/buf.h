/*
 * A growing byte buffer with an upper bound.  Floor 0.  Bytes are appended at
 * the end and consumed from the front.  An append beyond the bound returns
 * HB_E_LIMIT and changes nothing; running out of memory aborts.
 */
#ifndef HB_BASE_BUF_H
#define HB_BASE_BUF_H

#include "common/base/span.h"

struct hb_buf {
	unsigned char *p; /* owned; live bytes are p[off] .. p[off + n - 1] */
	size_t off, n, cap;
	size_t max;	  /* most live bytes; 0: unbounded (our own data
			   * only) */
};

#define HB_BUF_INIT(bound) ((struct hb_buf){ .max = (bound) })

void hb_buf_free(struct hb_buf *b);   /* B can be used again */
void hb_buf_wipe(struct hb_buf *b);   /* overwrites, then frees: secrets */
void hb_buf_clear(struct hb_buf *b);  /* keeps the memory */

static inline struct hb_span
hb_buf_span(const struct hb_buf *b)
{
	return b->n > 0 ? hb_span(b->p + b->off, b->n) : HB_SPAN_NONE;
}

/* Makes room for at least N more bytes and points *ROOM there.  Call
 * hb_buf_added() when they are written. */
int hb_buf_reserve(struct hb_buf *b, size_t n, unsigned char **room) HB_MUSTCHECK;
void hb_buf_added(struct hb_buf *b, size_t n);
/* Drops N bytes from the front (N <= b->n). */
void hb_buf_consume(struct hb_buf *b, size_t n);
/* Cuts to N bytes (N <= b->n). */
void hb_buf_truncate(struct hb_buf *b, size_t n);

int hb_buf_put(struct hb_buf *b, struct hb_span s) HB_MUSTCHECK;
int hb_buf_putc(struct hb_buf *b, unsigned char c) HB_MUSTCHECK;
int hb_buf_printf(struct hb_buf *b, const char *fmt, ...) HB_PRINTF(2, 3) HB_MUSTCHECK;

/* The live bytes from FROM on in lower case (ASCII). */
void hb_buf_lower(struct hb_buf *b, size_t from);

/* For buffers without bound (max 0), where appending cannot fail. */
void hb_buf_add(struct hb_buf *b, struct hb_span s);
void hb_buf_adds(struct hb_buf *b, const char *s);
void hb_buf_addf(struct hb_buf *b, const char *fmt, ...) HB_PRINTF(2, 3);
/* N bytes of V, the least significant first. */
void hb_buf_add_le(struct hb_buf *b, uint64_t v, size_t n);
/* The live bytes with a NUL behind them, which does not count.  Borrowed until
 * B changes, or owned with B's memory: then nothing was consumed from B. */
char *hb_buf_cstr(struct hb_buf *b);

#endif
