/*
 * Passes over the fields of a .def list, for its heads alone: include this,
 * then the list, then record-undef.h.  It has no include guard because it is
 * included several times.
 */
#define R_U32(name, tag, field, most)
#define R_U64(name, tag, field)
#define R_I64(name, tag, field)
#define R_BYTES(name, tag, field, most)
#define R_END(name)
