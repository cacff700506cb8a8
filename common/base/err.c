/* Texts of the error list.  Floor 0. */
#include "common/base/err.h"

#include <errno.h>
#include <string.h>

const char *
hb_strerror(int err)
{
	static const char *const texts[] = {
		"ok",
#define X(sym, num, text) [num] = text,
		HB_ERRS(X)
#undef X
	};
	int i = -err;

	if (i < 0 || i >= (int)(sizeof(texts) / sizeof(texts[0])))
		return "unknown error";
	return texts[i];
}

const char *
hb_file_error(int r)
{
	return r == -EINVAL ? "Not a regular file" : strerror(-r);
}
