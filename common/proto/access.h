/*
 * What stands in sendmail's access table: tags of keys and the grammar of
 * values, as cf/README of sendmail 8 tells them.  Floor 1.
 *
 *	OK RELAY REJECT DISCARD SKIP
 *	QUARANTINE:TEXT
 *	ERROR:D.S.N:TEXT  ERROR:TEXT  TEXT
 *	[PERM+|TEMP+]VERIFY[:BITS]  [PERM+|TEMP+]ENCR:BITS     TLS_Clt
 *
 * A TEXT of an error begins with its reply code, behind ERROR it may lack one;
 * D.S.N may follow the code; it may be in double quotes.  Words are read in any
 * case, TEXT is kept as it stands.
 */
#ifndef HB_PROTO_ACCESS_H
#define HB_PROTO_ACCESS_H

#include "common/base/span.h"

enum hb_access_kind {
	HB_ACCESS_OK,
	HB_ACCESS_RELAY,
	HB_ACCESS_REJECT,
	HB_ACCESS_DISCARD,
	HB_ACCESS_SKIP,
	HB_ACCESS_QUARANTINE,
	HB_ACCESS_ERROR
};
struct hb_access_value {
	enum hb_access_kind kind;
	unsigned code;	       /* ERROR: 400 to 599 */
	struct hb_span status; /* ERROR: of the code's class, or empty */
	struct hb_span text;   /* ERROR, QUARANTINE; points into the value */
};

/* What a TLS tag demands of the other side. */
struct hb_access_tls {
	bool verify;   /* a certificate that an authority vouches for */
	unsigned bits; /* of the cipher, at least; 0: no encryption either */
	bool perm;     /* refused for good without */
};

/* 0 or HB_E_SYNTAX: nobody knows such a value. */
int hb_access_parse(struct hb_span value,
    struct hb_access_value *out) HB_MUSTCHECK;
int hb_access_parse_tls(struct hb_span value,
    struct hb_access_tls *out) HB_MUSTCHECK;

/* What is wrong with an entry. */
enum hb_access_fault {
	HB_ACCESS_GOOD,
	HB_ACCESS_UNKNOWN, /* nobody knows its value */
	HB_ACCESS_IGNORED, /* its tag is sendmail's and says nothing here */
	HB_ACCESS_UNMET	   /* the same, and it demands safety */
};
enum hb_access_fault hb_access_fault(struct hb_span key, struct hb_span value);

#endif
