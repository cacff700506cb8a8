/*
 * The most common password hash of the login files: a login that does not exist
 * is checked against it, so that its answer takes as long as that of an
 * existing one.  Floor 2.  (In a file of mixed methods the rare ones can still
 * be told apart.)
 */
#ifndef QUEUE_ROUTER_USUAL_H
#define QUEUE_ROUTER_USUAL_H

#include "common/base/buf.h"

enum { RT_USUAL_KINDS = 16, RT_USUAL_KIND = 64 };

struct rt_usual {
	struct {
		char kind[RT_USUAL_KIND]; /* method and cost */
		size_t count;
		struct hb_span hash; /* the first of its kind in the file */
	} v[RT_USUAL_KINDS];
	size_t n;
};

/* The hash in an entry's value: "HASH" or "HASH:more fields", as in passwd
 * files; doveadm writes a scheme in braces in front, which stays only before a
 * verifier of SCRAM. */
struct hb_span rt_hash_of(struct hb_span value);
/* Counts the hash of VALUE, which is borrowed. */
void rt_usual_count(struct rt_usual *u, struct hb_span value);
/* A hash with the most frequent method and cost; empty if none was counted. */
struct hb_span rt_usual_hash(const struct rt_usual *u);
/* The same of verifiers alone. */
struct hb_span rt_usual_verifier(const struct rt_usual *u);

#endif
