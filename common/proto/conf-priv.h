/* Between conf.c (lines, words, rows) and conf_types.c (values).  Floor 1. */
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

/* One line being read. */
struct hb_conf_line {
	const struct hb_conf_source *src;
	struct hb_conf_report *report;
	struct hb_arena *arena;
	const char *file;
	unsigned line;
	const struct hb_conf_row *row;
	char **v; /* words behind the keyword */
	size_t n;
	bool canonical; /* text of hb_conf_dump: no warnings */
	bool is_default;
	const char *unbuilt; /* set by a type: this value has no function yet */
};

void hb_conf_error(struct hb_conf_line *l, const char *fmt, ...)
    HB_PRINTF(2, 3);
void hb_conf_warn(struct hb_conf_line *l, const char *fmt, ...)
    HB_PRINTF(2, 3);

struct hb_conf_type_ops {
	const char *syntax; /* for messages and the manual */
	/* Reads l->v into FIELD; mistakes are reported with hb_conf_error. */
	void (*parse)(struct hb_conf_line *l, void *field);
	/* Appends lines "WORD value...\n"; nothing for a value that is not
	 * set. */
	void (*dump)(const char *word, const void *field, struct hb_buf *out);
};
extern const struct hb_conf_type_ops hb_conf_types[HB_CONF_TYPE_COUNT];

/* Appends " WORD", quoted where it must be. */
void hb_conf_put_word(struct hb_buf *out, const char *word);
/* PATH, made absolute from the configuration's folder; arena-owned. */
char *hb_conf_path(struct hb_conf_line *l, const char *path);
/* Adds S (arena-owned) to LIST. */
void hb_strs_add(struct hb_arena *a, struct hb_strs *list, char *s);
/* LIST of N elements of SIZE gets one more, zeroed; returns it. */
void *hb_conf_grow(struct hb_arena *a, void **list, size_t *n, size_t size);

#endif
