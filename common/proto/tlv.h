/*
 * Records as checked tag-length-value bytes: frames between roles, envelopes on
 * disk, values of the store.  Floor 1.
 *
 * A record type is a C struct and a table of its fields, both generated from
 * one .def list.  On the wire a field is: tag (1 byte), length (LEB128, at most
 * 5 bytes), value.  Integers are little-endian without leading zero bytes; zero
 * and empty values are left out.  Unknown tags are skipped, so that an old
 * reader can read a newer record; a duplicate tag is an error.
 */
#ifndef HB_PROTO_TLV_H
#define HB_PROTO_TLV_H

#include "common/base/buf.h"
#include "common/base/mem.h"

enum hb_field_type { HB_F_U32, HB_F_U64, HB_F_I64, HB_F_BYTES };

struct hb_field {
	uint8_t tag; /* 1..255, unique in the record */
	uint8_t type;
	uint32_t offset; /* in the struct */
	uint64_t max;	 /* largest value, or most bytes; 0: the type's range */
	const char *name;
};

struct hb_record {
	const char *name;
	const struct hb_field *fields;
	size_t nfields;
	size_t size; /* of the struct */
};

/* Appends REC.  Returns 0, HB_E_RANGE (a value above its max), HB_E_LIMIT. */
int hb_tlv_encode(const struct hb_record *type, const void *rec,
    struct hb_buf *out) HB_MUSTCHECK;

/*
 * Fills REC (type->size bytes, zeroed first).  Byte fields point into IN.
 * Returns 0, HB_E_SYNTAX, HB_E_MORE (cut short), HB_E_RANGE.
 */
int hb_tlv_decode(const struct hb_record *type, struct hb_span in,
    void *rec) HB_MUSTCHECK;

/* Copies SRC to DST (type->size bytes); the byte fields of DST live in A.  Both
 * may be the same struct. */
void hb_record_copy(struct hb_arena *a, const struct hb_record *type,
    const void *src, void *dst);

#endif
