/* Ends the use of record-none.h, record-struct.h or record-table.h. */
#undef R_BEGIN
#undef R_U32
#undef R_U64
#undef R_I64
#undef R_BYTES
#undef R_END
#undef RECORD_STRUCT
