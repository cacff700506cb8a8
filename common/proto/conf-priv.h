/*
 * Between conf.c (lines, words, rows) and the value parsers: conf_types.c,
 * conf_serve.c, conf_send.c.  Floor 1.
 */
#ifndef HB_PROTO_CONF_PRIV_H
#define HB_PROTO_CONF_PRIV_H

#include "common/proto/conf.h"

enum hb_conf_type {
#define X(name, ctype) HB_CONF_T_##name,
	HB_CONF_TYPES(X)
#undef X
	HB_CONF_TYPE_COUNT
};

struct hb_conf_row {
	const char *word;
	enum hb_conf_type type;
	size_t offset;
	const char *def;
	uint64_t min, max;
	unsigned flags;
	const char *text;
};

/* One line while it is read. */
struct hb_conf_line {
	const struct hb_conf_source *src;
	struct hb_conf_report *report;
	struct hb_arena *arena;
	struct hb_places *places;
	const char *file;
	unsigned line;
	const struct hb_conf_row *row;
	char **v; /* words behind the keyword */
	size_t n;
	bool canonical; /* text of hb_conf_dump: no warnings */
	bool is_default;
	const char *unbuilt; /* set by a type: value not implemented yet */
};

void hb_conf_error(struct hb_conf_line *l, const char *fmt, ...)
    HB_PRINTF(2, 3);
void hb_conf_warn(struct hb_conf_line *l, const char *fmt, ...)
    HB_PRINTF(2, 3);

struct hb_conf_type_ops {
	const char *syntax; /* for messages and the manual */
	/* Parses l->v into FIELD; reports mistakes with hb_conf_error. */
	void (*parse)(struct hb_conf_line *l, void *field);
	/* Appends lines "WORD value...\n"; nothing for an unset value. */
	void (*dump)(const char *word, const void *field, struct hb_buf *out);
};
/* One for each type, defined with OPS beside its functions. */
#define X(name, ctype) extern const struct hb_conf_type_ops hb_conf_ops_##name;
HB_CONF_TYPES(X)
#undef X
extern const struct hb_conf_type_ops *const hb_conf_types[HB_CONF_TYPE_COUNT];

/* Only for the files of value parsers. */
#define OPS(name, parse, dump, syntax)                                         \
	const struct hb_conf_type_ops hb_conf_ops_##name = { (syntax),         \
		(parse), (dump) };
#define TYPE(name, field) hb_conf_type_##name *v = field
#define CTYPE(name, field) const hb_conf_type_##name *v = field

/* Words of an enum, in the order of its values. */
struct hb_conf_choice {
	const char *const *words;
	size_t n;
};
/* Returns the index of WORD in C.  Otherwise it returns -1 and reports a
 * mistake with the accepted words. */
int hb_conf_choose(struct hb_conf_line *l, const struct hb_conf_choice *c,
    const char *word);
/* The value of "NAME=VALUE", or NULL. */
const char *hb_conf_option(const char *word, const char *name);
/* Reports that WORD does not belong to this keyword, with the keyword's
 * syntax. */
void hb_conf_bad_option(struct hb_conf_line *l, const char *word);
/* Is there exactly one value?  Reports if not. */
bool hb_conf_one_value(struct hb_conf_line *l);
/* Returns a copy of S; arena-owned. */
char *hb_conf_keep(struct hb_conf_line *l, const char *s);
/* S, a domain or nothing like it, with A-labels for U-labels, arena-owned; NULL:
 * it has some that cannot be. */
char *hb_conf_alabels(struct hb_conf_line *l, const char *s);
/* S in lower case and A-labels, arena-owned; NULL if it is not a domain, which
 * is reported. */
char *hb_conf_domain(struct hb_conf_line *l, const char *s);
/* Appends the line "WORD VALUE", or "WORD A NAME=B" (B may be NULL). */
void hb_conf_put_line(struct hb_buf *out, const char *word, const char *value);
void hb_conf_put_pair(struct hb_buf *out, const char *word, const char *a,
    const char *name, const char *b);

/* Appends " WORD", quoted where necessary. */
void hb_conf_put_word(struct hb_buf *out, const char *word);
/* PATH made absolute from the configuration's folder; arena-owned. */
char *hb_conf_path(struct hb_conf_line *l, const char *path);
/* Records a place that must be checked outside; strings of AT are
 * arena-owned. */
void hb_conf_place(struct hb_conf_line *l, const struct hb_place *at);
/* Reads a file that is part of the configuration and reports its errors. 0 or
 * -errno. */
int hb_conf_read(struct hb_conf_line *l, const char *path,
    struct hb_buf *content);
/* Adds the network WORD to V, or reports what is wrong with it. */
void hb_conf_add_cidr(struct hb_conf_line *l, struct hb_cidrs *v,
    const char *word);
/* Adds S (arena-owned) to LIST. */
void hb_strs_add(struct hb_arena *a, struct hb_strs *list, char *s);
/* Adds one zeroed element to LIST, which has N elements of SIZE; returns it. */
void *hb_conf_grow(struct hb_arena *a, void **list, size_t *n, size_t size);

#endif
