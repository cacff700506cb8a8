/*
 * The one list of error codes.  Floor 0.  Functions return 0 or one of these
 * (negative); parsers return bytes used (> 0), 0 for "need more", or these.
 */
#ifndef HB_BASE_ERR_H
#define HB_BASE_ERR_H

#define HB_ERRS(X)                                                             \
	X(SYNTAX, 1, "malformed")                                              \
	X(RANGE, 2, "value out of range")                                      \
	X(LIMIT, 3, "limit exceeded")                                          \
	X(MORE, 4, "truncated")                                                \
	X(NOTFOUND, 5, "not found")                                            \
	X(EXISTS, 6, "exists already")                                         \
	X(STATE, 7, "not allowed now")                                         \
	X(PERM, 8, "not permitted")                                            \
	X(TEMP, 9, "temporary failure")                                        \
	X(IO, 10, "input/output error")                                        \
	X(NOSPACE, 11, "no space left")                                        \
	X(CORRUPT, 12, "damaged data")                                         \
	X(TIMEOUT, 13, "timed out")                                            \
	X(CLOSED, 14, "connection closed")                                     \
	X(TLS, 15, "TLS failure")                                              \
	X(UNSUPPORTED, 16, "not supported")

enum hb_err {
	HB_OK = 0,
#define X(sym, num, text) HB_E_##sym = -(num),
	HB_ERRS(X)
#undef X
};

/* Text for an error code; never NULL. */
const char *hb_strerror(int err);
/* Text for a file that could not be read.  R: result of hb_read_file. */
const char *hb_file_error(int r);

#endif
