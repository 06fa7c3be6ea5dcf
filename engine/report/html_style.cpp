#include "engine/report/html_sections.h"

namespace kiln {
namespace {

// Colours: blue and orange stay apart for every common colour blindness; text keeps a contrast of
// at least 4.5 to its ground in both schemes. --a is a cell's strength, set by the page.
constexpr std::string_view kStyle = R"css(
:root {
  color-scheme: light dark;
  --ground: #f6f5f2; --card: #ffffff; --text: #1c2127; --muted: #59626c; --line: #e2e1dc;
  --blue: 30 64 175; --orange: 200 76 12;
  --series0: #2563eb; --series1: #d4580f; --series2: #7c3aed;
  --good: #15803d; --bad: #b93815; --ember: #d4480b;
  --banner: #fff3d6; --banner-line: #e0a526; --banner-text: #5b3d00;
  --shadow: 0 1px 2px rgb(30 25 15 / .06), 0 4px 16px rgb(30 25 15 / .04);
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #101317; --card: #181c22; --text: #e7eaee; --muted: #9ba5b0; --line: #2b323b;
    --blue: 59 130 246; --orange: 234 108 30;
    --series0: #6ea8fe; --series1: #ff9d57; --series2: #b69cff;
    --good: #4ade80; --bad: #ff8a65; --ember: #ff7a3c;
    --banner: #33280c; --banner-line: #b98a1d; --banner-text: #ffe2a0;
    --shadow: 0 0 transparent;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
.page { max-width: 1120px; margin: 0 auto; padding: 28px 24px 40px; }
.muted { color: var(--muted); }
h1, h2, h3, p, dl, dd, figure, ol, ul { margin: 0; padding: 0; }
h1 { font-size: clamp(1.6rem, 1.1rem + 2.2vw, 2.3rem); line-height: 1.15; letter-spacing: -.02em;
     overflow-wrap: anywhere; }
h1 span { color: var(--muted); font-weight: 400; }
h2 { font-size: 1.25rem; letter-spacing: -.01em; margin: 44px 0 14px; scroll-margin-top: 12px; }
h3 { font-size: 1rem; }
small { font-size: .8em; color: var(--muted); font-weight: 400; }
section { scroll-margin-top: 8px; }
.banner { background: var(--banner); color: var(--banner-text);
          border-bottom: 2px solid var(--banner-line); padding: 12px 24px; text-align: center; }
.banner strong { margin-right: .5em; }
.chip { font-size: .8rem; font-style: normal; font-weight: 600; letter-spacing: 0;
        vertical-align: middle; white-space: nowrap; background: var(--banner);
        color: var(--banner-text); border: 1px solid var(--banner-line); border-radius: 99px;
        padding: 3px 10px; }
.brand { font-weight: 700; letter-spacing: .01em; margin-bottom: 14px; display: flex;
         align-items: center; gap: 8px; }
.brand > span:last-child { color: var(--muted); font-weight: 400; }
.mark { width: 18px; height: 18px; border-radius: 9px 9px 4px 4px;
        background: radial-gradient(circle at 50% 78%, #ffd9a0 0 18%, var(--ember) 46%, #7d2406 100%); }
.top > .muted { margin-top: 8px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin-top: 18px; padding-bottom: 14px;
      border-bottom: 1px solid var(--line); }
nav a { color: var(--muted); text-decoration: none; padding: 2px 0; }
nav a:hover, nav a:focus-visible { color: var(--text); text-decoration: underline;
                                   text-underline-offset: 4px; }
:focus-visible { outline: 2px solid var(--series0); outline-offset: 2px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
        box-shadow: var(--shadow); }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(156px, 1fr)); gap: 12px;
           margin-top: 24px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
          box-shadow: var(--shadow); padding: 14px 16px; }
.figure dt { color: var(--muted); font-size: .86rem; }
.figure b { display: block; font-size: 1.55rem; line-height: 1.3; letter-spacing: -.02em;
            font-variant-numeric: tabular-nums; white-space: nowrap; }
.figure span { color: var(--muted); font-size: .82rem; }
.figure.lead { box-shadow: inset 0 3px 0 var(--ember), var(--shadow); }

.charts, .two { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px;
                align-items: start; }
.chart { padding: 14px 16px 8px; }
.chart figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 16px;
                    margin-bottom: 8px; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart text { font-size: 12px; fill: var(--muted); font-variant-numeric: tabular-nums; }
.tick-y, .note-end { text-anchor: end; }
.tick-x, .name-x { text-anchor: middle; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--muted); stroke-width: 1; opacity: .6; }
.series path { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
.series circle { stroke: var(--card); stroke-width: 1; }
.series-0 path { stroke: var(--series0); } .series-0 circle { fill: var(--series0); }
.series-1 path { stroke: var(--series1); } .series-1 circle { fill: var(--series1); }
.series-2 path { stroke: var(--series2); } .series-2 circle { fill: var(--series2); }
.resumed { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 3 4; }
.chart text.note { font-size: 11px; font-style: italic; paint-order: stroke; stroke: var(--card);
                   stroke-width: 4px; }
.band { fill: rgb(128 128 128 / 0); } .band:hover { fill: rgb(128 128 128 / .14); }
.legend { display: flex; gap: 14px; font-size: .86rem; color: var(--muted); }
.key { display: inline-flex; align-items: center; gap: 6px; }
.key i { width: 16px; height: 3px; border-radius: 2px; background: var(--series0); }
.key.series-1 i { background: var(--series1); } .key.series-2 i { background: var(--series2); }

.scroll { overflow-x: auto; padding: 14px 16px; }
.tall { max-height: 620px; overflow-y: auto; padding-top: 0; }
.tall thead th { position: sticky; top: 0; background: var(--card); padding-top: 14px; }
.lead-in { padding: 14px 16px 0; font-size: .86rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); font-size: .86rem; padding-bottom: 10px; }
.matrix { width: 100%; min-width: calc(var(--classes) * 48px + 190px); table-layout: fixed;
          border-collapse: separate; border-spacing: 2px; font-size: .84rem; }
.matrix th.corner { width: 104px; } .matrix thead th.recall { width: 88px; }
.matrix th { font-weight: 500; text-align: right; padding: 4px 8px 4px 0; overflow-wrap: anywhere;
             hyphens: auto; line-height: 1.2; }
.matrix thead th { text-align: center; vertical-align: bottom; padding: 0 2px 6px; font-size: .78rem;
                   color: var(--muted); }
.matrix th[scope=row] { position: sticky; left: -16px; background: var(--card); padding-left: 4px; }
.matrix .corner { font-size: .74rem; font-weight: 400; }
.matrix td { text-align: center; height: 36px; border-radius: 5px; padding: 2px; }
.matrix td.none { color: var(--muted); opacity: .55; }
.hit { background: rgb(var(--blue) / var(--a)); } .miss { background: rgb(var(--orange) / var(--a)); }
.deep { color: #fff; font-weight: 600; }
.matrix td.recall { text-align: right; padding: 0 0 0 10px; }
.matrix thead th.recall { text-align: right; padding-right: 0; }
.bar { display: block; height: 5px; border-radius: 3px; margin-top: 3px; overflow: hidden;
       background: rgb(128 128 128 / .22); }
.bar > i { display: block; height: 100%; border-radius: 3px; background: var(--series0); }
.bar.bad > i { background: var(--series1); }
.confusions { margin-top: 14px; padding: 14px 16px 16px; }
.confusions ol { list-style: none; display: grid; gap: 10px 28px; margin-top: 10px;
                 grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.confusions li { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px;
                 font-size: .9rem; }
.confusions li > span:last-of-type { color: var(--muted); font-variant-numeric: tabular-nums; }
.confusions .bar { flex-basis: 100%; }

.verdict { margin: 22px 0 10px; display: flex; align-items: baseline; gap: 8px; }
.verdict::before { content: "\2713"; color: var(--good); font-weight: 700; }
.verdict.wrong::before { content: "\2717"; color: var(--bad); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 12px; }
.sample { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
          box-shadow: var(--shadow); padding: 10px; font-size: .82rem; min-width: 0; }
.sample img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 6px;
              image-rendering: pixelated; background: rgb(128 128 128 / .12); }
.sample figcaption { margin: 8px 0 4px; line-height: 1.3; overflow-wrap: anywhere; }
.sample figcaption b { display: block; font-size: .95rem; }
.sample figcaption span { color: var(--bad); }
.sample ul { list-style: none; }
.sample li { display: grid; grid-template-columns: minmax(0, 1fr) auto; column-gap: 6px;
             margin-top: 4px; color: var(--muted); font-variant-numeric: tabular-nums; }
.sample li span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sample li.true { color: var(--text); font-weight: 600; }
.sample .bar { grid-column: 1 / -1; margin-top: 1px; height: 4px; }

.numbers { width: 100%; font-size: .9rem; }
.numbers th, .numbers td { text-align: right; padding: 6px 0 6px 18px; white-space: nowrap; }
.numbers thead th { color: var(--muted); font-weight: 500; border-bottom: 1px solid var(--line);
                    font-size: .84rem; }
.numbers th:first-child { text-align: left; padding-left: 0; font-weight: 500; }
.numbers tbody tr + tr > * { border-top: 1px solid var(--line); }
.numbers .best > * { background: rgb(var(--blue) / .08); }
.filters { padding: 16px; display: inline-block; max-width: 100%; }
.filters img { display: block; max-width: 100%; height: auto; border-radius: 6px;
               image-rendering: pixelated; }
.filters figcaption { font-size: .86rem; margin-top: 10px; max-width: 60ch; }
.pairs { padding: 14px 16px; overflow-x: auto; }
.pairs table { width: 100%; margin-top: 8px; font-size: .9rem; }
.pairs th, .pairs td { text-align: left; vertical-align: top; padding: 5px 0;
                       border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.pairs th { font-weight: 400; color: var(--muted); padding-right: 18px; width: 38%; }
.notes { padding: 14px 16px 14px 34px; }
footer { margin-top: 44px; padding-top: 14px; border-top: 1px solid var(--line); font-size: .86rem; }

@media (max-width: 960px) {
  .figures { grid-template-columns: repeat(3, 1fr); }
  .matrix thead th:not(.corner, .recall) span { writing-mode: vertical-rl; transform: rotate(180deg);
                                               white-space: nowrap; }
}
@media (max-width: 720px) { .charts, .two { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 560px) {
  .page { padding: 20px 14px 32px; }
  .figures { grid-template-columns: repeat(2, 1fr); gap: 8px; }
  .figure { padding: 12px; } .figure b { font-size: 1.3rem; }
  .samples { grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 8px; }
  .sample { padding: 8px; font-size: .76rem; } .sample figcaption b { font-size: .84rem; }
  .matrix { min-width: calc(var(--classes) * 44px + 160px); }
  .matrix th.corner { width: 88px; } .matrix thead th.recall { width: 72px; }
  .matrix { font-size: .8rem; }
  .matrix td { height: 32px; }
  .banner { text-align: left; padding: 12px 14px; }
}
@media print {
  html { font-size: 12px; } body { background: #fff; font-size: 12px; }
  .page { max-width: none; padding: 0; }
  nav { display: none; }
  .card, .figure, .sample { box-shadow: none; break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .charts, .two { grid-template-columns: 1fr 1fr; }
  .samples { grid-template-columns: repeat(6, 1fr); gap: 8px; }
  .scroll { overflow: visible; max-height: none; }
  .numbers thead th { white-space: normal; } .numbers th, .numbers td { padding-left: 8px; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
)css";

}  // namespace

std::string_view report_style() { return kStyle; }

}  // namespace kiln
