/*
 * Templates of local delivery: the text of `deliver` with its % letters.
 * Floor 1.  The configuration refuses what the helper that delivers could not
 * use: a mistake of the operator must not come to light by a recipient's mail.
 */
#ifndef HB_PROTO_TEMPLATE_H
#define HB_PROTO_TEMPLATE_H

#include "common/base/span.h"

/* Words of a command template, at most. */
enum { HB_TEMPLATE_WORDS = 63 };

/* For messages: the letters that exist. */
#define HB_TEMPLATE_LETTERS                                                    \
	"%u user, %d domain, %h home, %a full address, %% a percent sign"

/* The first % of T with what follows it, where that means nothing; empty when
 * all letters exist. */
struct hb_span hb_template_mistake(struct hb_span t);
/* Does T begin with the recipient's home: "~", "~/..." or "%h"? */
bool hb_template_at_home(struct hb_span t);
/* Has T the letter C behind a %? */
bool hb_template_has(struct hb_span t, char c);

#endif
