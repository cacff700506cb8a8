/*
 * Turns a .def list into field tables: include this, then the list, then
 * record-undef.h.  It has no include guard because it is included several
 * times.
 */
#define R_BEGIN(SYM, name) static const struct hb_field name##_fields[] = {
#define R_U32(name, tag, field, most)                                          \
	{ (tag), HB_F_U32, offsetof(struct RECORD_STRUCT(name), field),        \
		(most), #field },
#define R_U64(name, tag, field)                                                \
	{ (tag), HB_F_U64, offsetof(struct RECORD_STRUCT(name), field), 0,     \
		#field },
#define R_I64(name, tag, field)                                                \
	{ (tag), HB_F_I64, offsetof(struct RECORD_STRUCT(name), field), 0,     \
		#field },
#define R_BYTES(name, tag, field, most)                                        \
	{ (tag), HB_F_BYTES, offsetof(struct RECORD_STRUCT(name), field),      \
		(most), #field },
#define R_END(name) };
