/**
 * Visits pages in Chromium and writes down what it sees.
 *
 *     node visit.js CHROMIUM PLAN.json SEEN.json
 *
 * The plan is a list of {name, url, visit} with what the visit needs.
 */
import { readFile, writeFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [executablePath, plan, seen] = process.argv.slice(2);
const MOST_MS = 60_000; // a slow machine's; a page that hangs shows neither

const visits = {
  /** What the page shows once it is ready, or cannot be. */
  async look(page, { url }) {
    await open(page, url);
    return {};
  },

  async withoutWebAssembly(page, { url }) {
    await page.addInitScript(() => delete globalThis.WebAssembly);
    await open(page, url);
    return {};
  },

  /** The module's latents, images and scores in this browser. */
  async compute(page, { url, precision, n }) {
    await open(page, url);
    return page.evaluate(
      async ([precision, n]) => {
        const { EdgeCVAE, standardNormal } = await import("/cvae-edge/cvae-edge.js");
        const model = await EdgeCVAE.load("/bundle/", { precision });
        const images = await model.generate(n);
        return {
          latents: [...standardNormal(n, model.latentDim)],
          images: [...images.data],
          scores: [...(await model.score(images))],
          provider: model.engine.provider,
          threads: model.engine.threads,
          secure: isSecureContext,
        };
      },
      [precision, n],
    );
  },

  /** Images are opened in the page, one after the other. */
  async upload(page, { url, files }) {
    await open(page, url);
    const scores = [];
    for (const file of files) scores.push(await scoreAfter(page, file));
    await page.setInputFiles("#upload", {
      name: "notes.png",
      mimeType: "image/png",
      buffer: Buffer.from("no image"),
    });
    await page.waitForFunction(() => document.body.dataset.error);
    return { scores };
  },

  /** With the keyboard alone: another image, its sliders, a drawing; then another file. */
  async use(page, { url }) {
    await open(page, url);
    await page.waitForSelector("#sliders input");
    const walked = () => picture(page, "#walk-image");
    const first = await walked();
    await page.focus("#grid [aria-checked=true]");
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(
      () => document.querySelector("#grid :nth-child(2)").ariaChecked === "true",
    );
    const second = await changed(walked, first);
    await page.focus("#sliders input");
    await page.keyboard.press("ArrowRight");
    const third = await changed(walked, second);
    await page.click("#reset");
    const reset = await changed(walked, third);
    const drawn = await draw(page);
    await page.focus("#next");
    await page.keyboard.press("Enter");
    const address = await page.waitForFunction(
      () => location.search.includes("start=") && location.search,
    );
    await page.focus("[value=float32]");
    await page.keyboard.press("ArrowDown");
    await page.waitForFunction(() =>
      document.getElementById("running").textContent.includes("int8"),
    );
    return { isReset: reset === second, drawn, address: await address.jsonValue() };
  },

  /** Once kept, the page opens without a network. */
  async offline(page, { url }) {
    await open(page, url);
    await page.waitForFunction(() => document.getElementById("offline").textContent, null, {
      timeout: MOST_MS,
    });
    await page.context().setOffline(true);
    const reached = await page.evaluate(() =>
      fetch("nothing").then(
        () => true,
        () => false,
      ),
    );
    await open(page, url);
    return { reached };
  },
};

async function open(page, url) {
  await page.goto(url);
  const done = () => document.body.dataset.ready || document.body.dataset.error;
  await page.waitForFunction(done, null, { timeout: MOST_MS });
}

async function scoreAfter(page, file) {
  const score = () => page.$eval("#score", (element) => element.dataset.score);
  await page.waitForSelector("#score[data-score]");
  const before = await score();
  await page.setInputFiles("#upload", file);
  return Number(await changed(score, before));
}

/** Draw with the keyboard, where Space puts the pen down and arrow keys move it; then by pointer. */
async function draw(page) {
  await page.click("#clear");
  const empty = await picture(page, "#pad");
  await page.focus("#pad");
  await page.keyboard.press("Space");
  for (let i = 0; i < 5; i++) await page.keyboard.press("ArrowDown");
  const byKeys = await picture(page, "#pad");
  const { x, y, width, height } = await (await page.$("#pad")).boundingBox();
  await page.mouse.move(x + width / 4, y + height / 4);
  await page.mouse.down();
  await page.mouse.move(x + width / 4, y + (3 * height) / 4, { steps: 4 });
  await page.mouse.up();
  const byPointer = await picture(page, "#pad");
  await changed(() => page.$eval("#score", (element) => element.dataset.score), undefined);
  return byKeys !== empty && byPointer !== byKeys;
}

function picture(page, selector) {
  return page.$eval(selector, (canvas) => canvas.toDataURL());
}

async function changed(look, before) {
  const end = Date.now() + MOST_MS;
  while (Date.now() < end) {
    const now = await look();
    if (now !== before) return now;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("nothing changed");
}

const browser = await chromium.launch({
  executablePath,
  // As root there is no sandbox; insecure.test is this machine without the privileges of localhost.
  args: ["--no-sandbox", "--host-resolver-rules=MAP insecure.test 127.0.0.1"],
});
const found = {};
for (const step of JSON.parse(await readFile(plan, "utf8"))) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  const told = await visits[step.visit](page, step);
  const { ready = null, error = null } = await page.evaluate(() => ({ ...document.body.dataset }));
  const shown = await page.$eval("#error", (element) => !element.hidden && element.textContent);
  found[step.name] = { ...told, ready, error, shown, complaints };
  await context.close();
}
await browser.close();
await writeFile(seen, JSON.stringify(found));
