#ifndef DELIVERY_TRUST_H
#define DELIVERY_TRUST_H

/* Does the word of our resolver count, that an answer is signed? */
enum dlv_trust { DLV_TRUST_UNKNOWN, DLV_TRUST_YES, DLV_TRUST_NO };

#endif
