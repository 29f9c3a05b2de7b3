"use strict";
// Unpacks the data of the page and shows it.
(async () => {
  const root = document.getElementById("run");
  try {
    const packed = Uint8Array.from(atob(document.getElementById("data").textContent.trim()), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const report = JSON.parse(await new Response(stream).text());
    const begin = performance.now();
    new jobcellView.View(root).update(report);
    document.documentElement.dataset.ready = String(Math.round(performance.now() - begin));
  } catch (error) {
    root.textContent = `This page cannot be shown: ${error}`;
  }
})();
