/*
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, as the server.  Floor 1.  RFC 5802,
 * 7677; channel binding tls-exporter, RFC 9266.
 *
 * Two processes share it, so that no secret is where strangers are served: the
 * exchange (struct hb_scram) reads and writes the messages, the keeper of the
 * verifiers (struct hb_scram_verifier) says salt and iterations, and later
 * whether the proof is right.
 *
 *	client  n,,n=user,r=CNONCE
 *	server  r=CNONCE+NONCE,s=SALT,i=ITERATIONS
 *	client  c=biws,r=CNONCE+NONCE,p=PROOF
 *	server  v=SIGNATURE
 */
#ifndef HB_PROTO_SCRAM_H
#define HB_PROTO_SCRAM_H

#include "common/base/buf.h"
#include "common/base/sha256.h"

enum {
	HB_SCRAM_SALT = 64,	     /* octets of it, at most */
	HB_SCRAM_NONCE = 64,	     /* our part */
	HB_SCRAM_FIRST = 2048,	     /* what we take of a client's message */
	HB_SCRAM_FINAL = 4096,
	HB_SCRAM_MESSAGE = 8192,     /* AuthMessage of RFC 5802 s3 */
	HB_SCRAM_ITERATIONS = 1000000
};

/* --- the exchange --- */

struct hb_scram {
	bool plus;	       /* the mechanism ends in -PLUS */
	struct hb_buf gs2;     /* first message up to its bare part */
	struct hb_buf user;
	struct hb_buf nonce;   /* both parts */
	struct hb_buf message; /* AuthMessage so far */
	struct hb_buf say;     /* what is to be said next */
	unsigned char proof[HB_SHA256];
};

struct hb_scram *hb_scram_new(bool plus);
void hb_scram_free(struct hb_scram **s); /* wipes */
/* The client's first message.  PLUS_OFFERED: the client was told of -PLUS, so
 * one that says that it was not has an attacker on its line (RFC 5802 s6).  0
 * (then S->user is the login) or HB_E_SYNTAX. */
int hb_scram_first(struct hb_scram *s, struct hb_span msg,
    bool plus_offered) HB_MUSTCHECK;
/* Makes our first message.  NONCE: fresh and printable. */
void hb_scram_challenge(struct hb_scram *s, struct hb_span salt,
    uint32_t iterations, struct hb_span nonce);
/* The client's last message; BINDING: the data of the channel (-PLUS).  0 (then
 * S->message and S->proof are to be checked) or HB_E_SYNTAX: it is not of this
 * exchange or channel. */
int hb_scram_final(struct hb_scram *s, struct hb_span msg,
    struct hb_span binding) HB_MUSTCHECK;
/* Makes our last message. */
void hb_scram_signed(struct hb_scram *s, struct hb_span signature);

/* --- the verifier --- */

struct hb_scram_verifier {
	uint32_t iterations;
	size_t n_salt;
	unsigned char salt[HB_SCRAM_SALT];
	unsigned char stored[HB_SHA256], server[HB_SHA256];
};

/* Does TEXT begin with the mark of a verifier, {SCRAM-SHA-256}? */
bool hb_scram_is_verifier(struct hb_span text);
/* "{SCRAM-SHA-256}ITERATIONS,SALT,STORED,SERVER", as doveadm pw writes it.
 * Returns 0 or HB_E_SYNTAX. */
int hb_scram_verifier_parse(struct hb_span text,
    struct hb_scram_verifier *v) HB_MUSTCHECK;
/* One for a login that has none, which nobody can tell from a true one without
 * the keys of LIKE: always the same for USER, and no proof is right. */
void hb_scram_verifier_fake(const struct hb_scram_verifier *like,
    struct hb_span user, struct hb_scram_verifier *v);
/* Is PROOF right for the AuthMessage MESSAGE?  SIGNATURE: the server's. */
bool hb_scram_check(const struct hb_scram_verifier *v, struct hb_span message,
    const unsigned char proof[HB_SHA256],
    unsigned char signature[HB_SHA256]) HB_MUSTCHECK;
/* Is PASSWORD the one of V?  Costs all iterations. */
bool hb_scram_is_password(const struct hb_scram_verifier *v,
    struct hb_span password) HB_MUSTCHECK;

#endif
