// Measures the page of `cvae-edge kit web` in Chromium; benchmarks/web.py runs it.
//
//     node web.js NODE_MODULES CHROMIUM URL ROUNDS
//
// Prints JSON, a list of rounds: {ready, milliseconds: {precision: ...}}.
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, executablePath, url, rounds] = process.argv.slice(2);
const { chromium } = createRequire(join(modules, "x.js"))("playwright-core");

async function measure() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const page = await browser.newPage();
  await page.goto(`${url}?provider=wasm`);
  const idle = () => document.getElementById("running").textContent.includes("ms an image");
  await page.waitForFunction(idle, null, { timeout: 120_000 });
  const milliseconds = await page.evaluate(async () => {
    const { EdgeCVAE } = await import("/cvae-edge/cvae-edge.js");
    const { millisecondsOf } = await import("/page/files.js");
    const times = {};
    for (const radio of document.querySelectorAll("[name=precision]")) {
      const options = { precision: radio.value, executionProviders: ["wasm"] };
      const model = await EdgeCVAE.load("/bundle/", options);
      times[radio.value] = await millisecondsOf(model);
      await model.release();
    }
    return times;
  });
  const ready = Number(await page.evaluate(() => document.body.dataset.ready));
  const version = browser.version();
  await browser.close();
  return { ready, milliseconds, version };
}

const measured = [];
for (let round = 0; round < Number(rounds); round++) measured.push(await measure());
console.log(JSON.stringify(measured));
