/* Starts a VirtualBox front end (NAME.so beside this program, entry TrustedMain) without the kernel driver /dev/vboxdrv.
 *
 * It stands in for VirtualBox's own set-uid stub of the same name, which only knows how to open that driver. The runtime
 * itself knows a driverless mode, in which machines run in VirtualBox's interpreter: it has to be asked for when the
 * runtime is initialised, and no front end that Debian ships does so.
 *
 * It also loads VirtualBox's parts from a folder that belongs to no system: the front end would refuse one below /tmp, or
 * of another owner than root, as those who can write there could become what the kernel driver trusts. There is none here.
 *
 *   cc -O2 -rdynamic -DAPP='"/where/the/libraries/are/"' -o VBoxHeadless driverless.c -ldl
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* RTR3InitEx: bit 16 initialises the support library with what stands from bit 18 on: unrestricted (1), without the
 * driver (4), the interpreter will do (8). */
#define FLAGS (0x10000u | ((1u | 4u | 8u) << 18))

/* Version of RTR3InitEx's arguments. */
#define ARGUMENTS 2

typedef int (*init_t)(unsigned version, unsigned flags, int argc, char ***argv, const char *exe);
typedef int (*main_t)(int argc, char **argv, char **envp);

/* Of the runtime. These two stand before it when VirtualBox's libraries look for them, and leave out its checks. */
static int (*load)(const char *path, void **module);
static int (*load_own)(const char *name, void **module);

int SUPR3HardenedLdrLoadPlugIn(const char *path, void **module, void *error)
{
    (void)error;
    return load(path, module);
}

int SUPR3HardenedLdrLoadAppPriv(const char *name, void **module, unsigned flags, void *error)
{
    (void)flags;
    (void)error;
    return load_own(name, module);
}

static void *must(void *found, const char *what)
{
    if (!found)
        fprintf(stderr, "driverless: %s: %s\n", what, dlerror());
    return found;
}

int main(int argc, char **argv, char **envp)
{
    char exe[PATH_MAX] = "", front[PATH_MAX + 64];
    if (readlink("/proc/self/exe", exe, sizeof exe - 1) < 0) {
        perror("driverless: /proc/self/exe");
        return 1;
    }
    snprintf(front, sizeof front, APP "%s.so", basename(exe));
    void *runtime = must(dlopen(APP "VBoxRT.so", RTLD_NOW | RTLD_GLOBAL), "VBoxRT.so");
    init_t init = runtime ? (init_t)must(dlsym(runtime, "RTR3InitEx"), "RTR3InitEx") : NULL;
    load = runtime ? must(dlsym(runtime, "RTLdrLoad"), "RTLdrLoad") : NULL;
    load_own = runtime ? must(dlsym(runtime, "RTLdrLoadAppPriv"), "RTLdrLoadAppPriv") : NULL;
    if (!init || !load || !load_own)
        return 1;
    int rc = init(ARGUMENTS, FLAGS, 0, NULL, NULL);
    if (rc < 0) {
        fprintf(stderr, "driverless: RTR3InitEx: %d\n", rc);
        return 1;
    }
    void *library = must(dlopen(front, RTLD_NOW | RTLD_GLOBAL), front);
    main_t run = library ? (main_t)must(dlsym(library, "TrustedMain"), "TrustedMain") : NULL;
    return run ? run(argc, argv, envp) : 1;
}
