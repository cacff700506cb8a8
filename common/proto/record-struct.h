/*
 * Turns a .def list into structs: define RECORD_STRUCT, include this, then the
 * list, then record-undef.h.  It has no include guard because it is included
 * several times.
 */
#define R_BEGIN(SYM, name) struct RECORD_STRUCT(name) {
#define R_U32(name, tag, field, most) uint32_t field;
#define R_U64(name, tag, field) uint64_t field;
#define R_I64(name, tag, field) int64_t field;
#define R_BYTES(name, tag, field, most) struct hb_span field;
#define R_END(name) };
