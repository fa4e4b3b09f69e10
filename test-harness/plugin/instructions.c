/* Counts the instructions a machine under QEMU executes, by ring: a TCG plugin (QEMU 5 to 9).
 *
 * The counts are two 64-bit words in a file, for who maps or reads it while the machine runs: word 0
 * for the lower half of the address space, where guests live, word 1 for the kernel's upper half.
 * Each instruction adds to its word by itself, so a block that is left in its middle counts as far
 * as it was executed, and a `rep` counts each time round.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* From QEMU's qemu-plugin.h, which Debian does not ship. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_INLINE_ADD_U64 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *instruction, int operation,
                                                void *word, uint64_t amount);

int qemu_plugin_version = 1;

static uint64_t *words;

static void count(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
        uint64_t *word = words + (qemu_plugin_insn_vaddr(instruction) >> 63);
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, word, 1);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    static const char option[] = "counts=";
    (void)info;
    for (int index = 0; index < argc; index++) {
        if (strncmp(argv[index], option, sizeof option - 1) == 0) {
            int file = open(argv[index] + sizeof option - 1, O_RDWR);
            void *mapped = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            close(file);
            words = mapped == MAP_FAILED ? NULL : mapped;
        }
    }
    if (words == NULL)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count);
    return 0;
}
