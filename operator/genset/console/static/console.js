// Pages stay as the server makes them: this script only fetches them anew when there is news, draws charts, and says whether
// what is shown is live.
(() => {
  "use strict";
  const SILENCE = 15000; // milliseconds without a word, three beats, after which a page is not live
  const live = document.getElementById("live");
  let heard = Date.now(), shown = Date.now(), busy = false, again = false, source = null;

  function say(words, tone) {
    if (live.textContent !== words) live.textContent = words;
    live.className = "live " + tone;
    document.body.classList.toggle("stale", tone === "bad");
  }

  function signIn() {
    if (source) source.close();
    location.assign("/sign-in?to=" + encodeURIComponent(location.pathname + location.search));
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { "x-console-refresh": "1" }, credentials: "same-origin", redirect: "error" });
      if (answer.status === 401) return signIn();
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
        await htmx.swap({ text: page.outerHTML, target: "#main", swap: "outerMorph" });
        shown = Date.now();
        charts();
      }
    } catch (_) { /* the clock below says that the page is old */ }
    busy = false;
    if (again) { again = false; setTimeout(refresh, 250); }
  }

  function listen() {
    source = new EventSource("/news");
    source.addEventListener("beat", () => { heard = Date.now(); });
    source.addEventListener("news", () => { heard = Date.now(); if (!document.hidden) refresh(); });
    source.addEventListener("over", signIn);
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) return;
      try { if ((await fetch("/news", { method: "HEAD" })).status === 401) return signIn(); } catch (_) { /* it is away */ }
      setTimeout(listen, 3000);
    };
  }

  function watch() {
    const quiet = Date.now() - heard;
    if (quiet > SILENCE) say("not live since " + new Date(heard).toLocaleTimeString(), "bad");
    else say("live", "well");
  }

  // Charts

  const plots = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function marks(told) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour("--bad");
      ctx.setLineDash([4, 4]);
      for (const mark of told().marks) {
        const x = plot.valToPos(mark.at, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        ctx.beginPath(); ctx.arc(x, bbox.top + 5, 4, 0, 7); ctx.fill();
      }
      ctx.restore();
    };
  }

  function stacked(told) {
    const sums = told.tiers.map(() => told.at.map(() => 0));
    told.at.forEach((_, at) => {
      let sum = 0;
      told.tiers.forEach((tier, number) => { sum += tier[at]; sums[number][at] = sum; });
    });
    return [told.at, ...sums.reverse()];
  }

  async function draw(figure) {
    let told;
    try {
      const answer = await fetch(figure.dataset.chart, { headers: { "x-console-refresh": "1" } });
      if (!answer.ok) return;
      told = await answer.json();
    } catch (_) { return; }
    let known = plots.get(figure);
    if (known && known.tiers !== told.tiers.length) { known.plot.destroy(); plots.delete(figure); known = null; }
    if (!told.at.length) return;
    if (known) { known.told = told; known.plot.setScale("x", range(told)); known.plot.setData(stacked(told), false); return; }
    const hues = [colour("--well"), colour("--warned"), colour("--passing"), colour("--bad"), colour("--soft")];
    const held = { told, tiers: told.tiers.length };
    const series = told.tiers.map((_, number) => told.tiers.length - number).map((tier) => ({
      label: "Tier " + tier, stroke: hues[(tier - 1) % hues.length], fill: hues[(tier - 1) % hues.length] + "66", width: 1, points: { show: told.at.length < 3 },
      value: (_, __, number, at) => at === null ? "–" : held.told.tiers[tier - 1][at],
    }));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
    held.plot = new uPlot({
      width: figure.clientWidth - 16 || 600, height: 240, series: [{ label: "Time (UTC)", value: (_, at) => at === null ? "–" : clock(at) }, ...series],
      axes: [{ ...axis, values: (_, at, __, ___, step) => at.map((one) => clock(one).slice(0, step < 60 ? 8 : 5)) }, { ...axis, label: "answers in 10 s", labelSize: 18, size: 44 }],
      scales: { x: { time: true, auto: false, range: () => { const { min, max } = range(held.told); return [min, max]; } }, y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
      hooks: { draw: [marks(() => held.told)] },
    }, stacked(told), figure);
    plots.set(figure, held);
  }

  const range = (told) => ({ min: Math.max(told.now - 1800, Math.min(told.now - 120, told.at[0] - 10)), max: told.now });
  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19); // UTC, as everywhere on the page
  const charts = () => document.querySelectorAll("[data-chart]").forEach(draw);
  function again_drawn() { for (const [figure, held] of plots) { held.plot.destroy(); plots.delete(figure); } charts(); }

  if (document.body.dataset.live !== undefined) {
    listen();
    charts();
    setInterval(watch, 500);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && Date.now() - shown > 1000) refresh(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again_drawn);
    addEventListener("resize", () => { for (const [figure, held] of plots) held.plot.setSize({ width: figure.clientWidth - 16, height: 240 }); });
  }
})();
