/* libFuzzer's target for the shim's reply parser: no byte is read outside the payload (AddressSanitizer's part), and what
 * it returns is what docs/protocol.md allows. SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "../../shim/shim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reply reply = reply_parse(data, size);
    require(reply.outcome >= UNREADABLE && reply.outcome <= REFUSED);
    if (reply.outcome == UNREADABLE)
        return 0;
    require(reply.body >= data && reply.length <= size && reply.body + reply.length <= data + size);
    require((reply.outcome == UNCHANGED) == (reply.length == 0));
    for (size_t i = 0; i < reply.length; i++)
        (void)*(const volatile uint8_t *)(reply.body + i); /* read it, or nobody sees that it lies outside */
    /* One that is cut short before the body's end can't be read; and what stands behind the body does not matter. */
    size_t end = (size_t)(reply.body - data) + reply.length;
    if (end > 0)
        require(reply_parse(data, end - 1).outcome == UNREADABLE);
    struct reply again = reply_parse(data, end);
    require(again.outcome == reply.outcome && again.body == reply.body && again.length == reply.length);
    return 0;
}
