/*
 * The text format of maps, as sendmail users write it.  Floor 1.
 *
 * aliases: "name: value, value" with continuation lines that begin with a
 * blank.  table: "key value" with blanks between.  '#' begins a comment line;
 * empty lines are skipped.  A key may be in double quotes.
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
 * Reads the next entry: 1; 0 at the end; HB_E_SYNTAX (at m->line; the entry is
 * skipped, the caller may go on).  KEY points into the text, VALUE into M until
 * the next call.  The key is as written; lookups use lower case.
 */
int hb_maptext_next(struct hb_maptext *m, struct hb_span *key,
    struct hb_span *value) HB_MUSTCHECK;

/* Appends S, without its quotes if all of it is one quoted string. */
void hb_alias_unquote(struct hb_span s, struct hb_buf *out);

/*
 * Takes one target of an alias value, which ends at a comma outside quotes and
 * comments, and writes it to OUT without blanks around it and, if all of it is
 * quoted, without the quotes.  1 a target, 0 none left, HB_E_SYNTAX (an open
 * quote).
 */
int hb_alias_next(struct hb_span *rest, struct hb_buf *out) HB_MUSTCHECK;

#endif
