/*
 * Templates of local delivery: the text of `deliver` with its % letters.  Floor
 * 1.  The configuration refuses a template that the delivering helper could not
 * use: a recipient's mail must not be the first to reveal an operator's
 * mistake.
 */
#ifndef HB_PROTO_TEMPLATE_H
#define HB_PROTO_TEMPLATE_H

#include "common/base/span.h"

/* Maximum of words in a command template. */
enum { HB_TEMPLATE_WORDS = 63 };

/* For messages: the valid letters. */
#define HB_TEMPLATE_LETTERS                                                    \
	"%u user, %d domain, %h home, %a full address, %% a percent sign"

/* The first invalid % sequence of T; empty if all are valid. */
struct hb_span hb_template_mistake(struct hb_span t);
/* Does T begin with the recipient's home: "~", "~/..." or "%h"? */
bool hb_template_at_home(struct hb_span t);
/* Does T contain % followed by the letter C? */
bool hb_template_has(struct hb_span t, char c);

#endif
