/* Runs graphs on the integers of in.bin and writes out.bin: a file works under semihosting too.
 * in.bin: a graph's number and how many cases, int32 each; then the inputs of each case. */
#include <stdio.h>

#include "graphs.h"

int main(void)
{
    FILE *in = fopen("in.bin", "rb"), *out = fopen("out.bin", "wb");
    int32_t request[2];
    if (!in || !out) {
        return 2;
    }
    while (fread(request, sizeof request, 1, in) == 1) {
        const test_graph *g = &test_graphs[request[0]];
        for (int32_t i = 0; i < request[1]; i++) {
            for (int k = 0; k < TEST_TENSORS && g->inputs[k]; k++) {
                const size_t count = (size_t)g->inputs[k]->count;
                if (fread(g->inputs[k]->data, 1, count, in) != count) {
                    return 3;
                }
            }
            g->run();
            for (int k = 0; k < TEST_TENSORS && g->outputs[k]; k++) {
                fwrite(g->outputs[k]->data, 1, (size_t)g->outputs[k]->count, out);
            }
        }
    }
    return fclose(out) ? 4 : 0;
}
