/*
 * The text of maps, as sendmail users write them.  Floor 1.
 *
 * aliases: "name: value, value" with continuation lines that begin with a
 * blank.  table: "key value" with blanks between.  '#' begins a comment line;
 * empty lines are skipped.  A key may stand in double quotes.
 */
#ifndef HB_PROTO_MAPTEXT_H
#define HB_PROTO_MAPTEXT_H

#include "common/base/buf.h"

enum hb_map_syntax {
	HB_MAPSYN_ALIASES,
	HB_MAPSYN_TABLE
};

struct hb_maptext {
	struct hb_span rest;
	enum hb_map_syntax syntax;
	unsigned line;	     /* of the entry returned last */
	unsigned next_line;
	struct hb_buf value; /* the entry's value, lines joined */
};

void hb_maptext_init(struct hb_maptext *m, struct hb_span text,
    enum hb_map_syntax syntax);
void hb_maptext_free(struct hb_maptext *m);

/*
 * The next entry: 1; 0 at the end; HB_E_SYNTAX (m->line says where; the entry
 * is skipped, go on).  KEY points into the text, VALUE into M until the next
 * call.  The key is as written; lookups are in lower case.
 */
int hb_maptext_next(struct hb_maptext *m, struct hb_span *key,
    struct hb_span *value) HB_MUSTCHECK;

/* Appends S, without its quotes where all of it is one quoted string. */
void hb_alias_unquote(struct hb_span s, struct hb_buf *out);

/*
 * One target of an alias value: cut at commas outside quotes and comments.
 * Surrounding blanks and, when all of it is quoted, the quotes are gone (OUT
 * is filled).  1 a target, 0 none left, HB_E_SYNTAX (an open quote).
 */
int hb_alias_next(struct hb_span *rest, struct hb_buf *out) HB_MUSTCHECK;

#endif
