import type { Reporter, TestModule, Vitest } from 'vitest/node';

/** Says at the end of a run what was skipped for want of a server, and how to provide it. */
export default class ServicesReporter implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const projects = this.#vitest ? [this.#vitest.getRootProject(), ...this.#vitest.projects] : [];
    const missing: Readonly<Record<string, string>> = Object.assign(
      {},
      ...projects.map((project) => project.getProvidedContext().missing),
    );
    for (const [service, how] of Object.entries(missing)) {
      const skipped = modules
        .flatMap((module) => [...module.children.allTests('skipped')])
        .filter((test) => test.fullName.includes(`[${service}]`)).length;
      console.log(`\n[services] ${service}: ${skipped} test(s) skipped; there is ${how}`);
    }
  }
}
