/** Where a process finds its programs and its home: the container's is of no use outside. */
const ALWAYS = new Set(["HOME", "OLDPWD", "PATH", "PWD", "SHELL"]);

/**
 * Tell a language's runtime or the loader what to load. An observability
 * webhook puts these into every pod it sees, and without their files no
 * program of that language starts.
 */
// deno-fmt-ignore
const WITH_A_PATH = new Set([
  "BUNDLE_GEMFILE", "CLASSPATH", "CORECLR_PROFILER_PATH", "DOTNET_ADDITIONAL_DEPS",
  "DOTNET_SHARED_STORE", "DOTNET_STARTUP_HOOKS", "GEM_HOME", "GEM_PATH", "JAVA_HOME",
  "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD",
  "NODE_OPTIONS", "NODE_PATH", "PERL5LIB", "PERL5OPT", "PYTHONHOME", "PYTHONPATH",
  "PYTHONSTARTUP", "RUBYLIB", "RUBYOPT", "TMPDIR", "_JAVA_OPTIONS",
]);

/** Why a program outside the container is better off without a variable. */
export const CONTAINER_FILES = "it names files that only the container has";

/** Whether a variable would lead a program outside the container to files inside it. */
export function namesContainerFiles(name: string, value: string): boolean {
  return ALWAYS.has(name) || WITH_A_PATH.has(name) && value.includes("/");
}
