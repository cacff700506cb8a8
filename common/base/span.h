/*
 * A view of bytes: a pointer and a length, never NUL-terminated, never owned.
 * Floor 0.  Every parser of the project takes its input as a span.
 */
#ifndef HB_BASE_SPAN_H
#define HB_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HB_MUSTCHECK __attribute__((warn_unused_result))
#define HB_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HB_NORETURN __attribute__((noreturn))
#define HB_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

struct hb_span {
	const unsigned char *p;
	size_t n;
};

/* A span over a string literal (without its NUL). */
#define HB_SPAN(lit)                                                           \
	((struct hb_span){ (const unsigned char *)("" lit), sizeof(lit) - 1 })
/* The same for static initialisers. */
#define HB_SPAN_INIT(lit)                                                      \
	{                                                                      \
		(const unsigned char *)("" lit), sizeof(lit) - 1               \
	}
#define HB_SPAN_NONE ((struct hb_span){ NULL, 0 })
/* For printf("%.*s", HB_SPAN_ARG(s)), only for spans known to be short.  S must
 * be a variable: it is evaluated more than once. */
#define HB_SPAN_ARG(s) (int)(s).n, (const char *)((s).n > 0 ? (s).p : (const unsigned char *)"")

static inline struct hb_span
hb_span(const void *p, size_t n)
{
	return (struct hb_span){ p, n };
}

/* Borrows S, a NUL-terminated string of ours (NULL gives the empty span). */
struct hb_span hb_span_str(const char *s);

/* The part from FROM to the end; empty if FROM is past the end. */
static inline struct hb_span
hb_span_from(struct hb_span s, size_t from)
{
	return from < s.n ? hb_span(s.p + from, s.n - from) : HB_SPAN_NONE;
}

/* At most the first N bytes. */
static inline struct hb_span
hb_span_head(struct hb_span s, size_t n)
{
	return hb_span(s.p, n < s.n ? n : s.n);
}

/* The same, cut off *REST. */
static inline struct hb_span
hb_span_take(struct hb_span *rest, size_t n)
{
	struct hb_span head = hb_span_head(*rest, n);

	*rest = hb_span_from(*rest, n);
	return head;
}

/* Removes blanks (space, tab, CR, LF) at both ends. */
struct hb_span hb_span_trim(struct hb_span s);

bool hb_span_eq(struct hb_span a, struct hb_span b);
/* Ignores ASCII case; other bytes must be equal. */
bool hb_span_eq_nocase(struct hb_span a, struct hb_span b);
/* Removes a leading byte order mark, which editors of other systems write. */
struct hb_span hb_span_markless(struct hb_span s);
bool hb_span_has_prefix_nocase(struct hb_span s, struct hb_span prefix);
/* <0, 0 or >0 like memcmp; a prefix sorts first. */
int hb_span_cmp(struct hb_span a, struct hb_span b);

/* Position of the byte C, or s.n if S does not contain it. */
size_t hb_span_find(struct hb_span s, unsigned char c);
/* Position of the bytes WHAT, or s.n if S does not contain them. */
size_t hb_span_search(struct hb_span s, struct hb_span what);
/*
 * Cuts *REST at the first C: returns the part before it and leaves the part
 * after it in *REST.  Without a C it returns everything and empties *REST.
 */
struct hb_span hb_span_cut(struct hb_span *rest, unsigned char c);
/* The next word between blanks; empty if none is left. */
struct hb_span hb_span_word(struct hb_span *rest);

/*
 * Parses all of S: 1 to 20 decimal digits and nothing else, value at most MAX.
 * Returns 0, HB_E_SYNTAX or HB_E_RANGE.
 */
int hb_span_u64(struct hb_span s, uint64_t max, uint64_t *out) HB_MUSTCHECK;
/* Parses all of S: 1 to 16 hexadecimal digits.  Returns 0 or HB_E_SYNTAX. */
int hb_span_hex64(struct hb_span s, uint64_t *out) HB_MUSTCHECK;

/*
 * Copies S and a NUL into DST of SIZE bytes.  Returns 0; HB_E_RANGE if it does
 * not fit; HB_E_SYNTAX if S contains a NUL (a C string would be cut there).
 */
int hb_span_copy(struct hb_span s, char *dst, size_t size) HB_MUSTCHECK;
/* Returns an owned, NUL-terminated copy (free it with free()); aborts when out
 * of memory. */
char *hb_span_dup(struct hb_span s);

static inline unsigned char
hb_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}
/* S in lower case (ASCII), in DST of S.n bytes, which may be S itself. */
struct hb_span hb_span_lower(struct hb_span s, void *dst);
static inline bool
hb_is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}
static inline bool
hb_is_alpha(unsigned char c)
{
	return hb_lower(c) >= 'a' && hb_lower(c) <= 'z';
}
static inline bool
hb_is_alnum(unsigned char c)
{
	return hb_is_digit(c) || hb_is_alpha(c);
}
static inline bool
hb_is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

#endif
