/*
 * Maps: key to value, from text files, Berkeley DB hash files, later socket
 * maps.  Floor 3.  Used by the router and the tools.
 */
#ifndef HB_IO_MAP_H
#define HB_IO_MAP_H

#include "common/base/buf.h"
#include "common/proto/conf.h"

struct hb_map;

/* How a text file is read, and what makemap accepts. */
enum hb_map_syntax {
	HB_MAPSYN_ALIASES, /* "name: value", continuation lines */
	HB_MAPSYN_TABLE	   /* "key value": blanks between */
};

/* Opens lazily; a missing file is found out at lookup.  Never NULL. */
struct hb_map *hb_map_open(const struct hb_mapspec *spec,
    enum hb_map_syntax syntax);
void hb_map_close(struct hb_map **m);
/*
 * KEY is looked up in lower case.  A file that changed is read again.
 * Returns 0 (VALUE filled), HB_E_NOTFOUND, HB_E_TEMP (cannot be read now).
 */
int hb_map_get(struct hb_map *m, struct hb_span key,
    struct hb_buf *value) HB_MUSTCHECK;

#endif
