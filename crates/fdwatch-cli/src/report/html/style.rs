//! How the page looks; the graphs bring their own sheet, whose colours these agree with.

pub(super) const SHEET: &str = "\
:root{--page:#fff;--card:#f6f8fa;--ink:#1c2430;--soft:#5b6675;--line:#e3e7ec;--bad:#c0262d;--bad-tint:#fdf0f0;
--warn:#8a5800;--warn-tint:#fdf6e7;--good:#1b7f4b;--good-tint:#eef8f2;--plain-tint:#f1f4f7}
@media screen and (prefers-color-scheme:dark){:root{--page:#12161c;--card:#181e26;--ink:#e8ecf1;--soft:#9aa6b4;--line:#262d37;--bad:#ff7b80;
--bad-tint:#2b191d;--warn:#e9b44c;--warn-tint:#2a2317;--good:#5fce94;--good-tint:#15251d;--plain-tint:#1b222b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1000px;margin:0 auto;padding:36px 24px 56px}
.what{margin:0 0 14px;color:var(--soft);font-weight:650;letter-spacing:.01em}
.what span{font-weight:400;margin-left:8px;padding:2px 9px;border:1px solid var(--line);border-radius:99px;overflow-wrap:anywhere}
h1{margin:0;padding:18px 22px;border-radius:10px;font-size:23px;line-height:1.35;font-weight:600;overflow-wrap:anywhere;
border-left:5px solid}
h1 b{display:block;font-size:12.5px;letter-spacing:.09em;text-transform:uppercase;font-weight:700}
h1.bad{background:var(--bad-tint);border-color:var(--bad)}h1.warn{background:var(--warn-tint);border-color:var(--warn)}
h1.good{background:var(--good-tint);border-color:var(--good)}h1.plain{background:var(--plain-tint);border-color:var(--soft)}
.bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}.plain{color:var(--soft)}h1{color:var(--ink)!important}
dl{display:flex;flex-wrap:wrap;gap:14px 36px;margin:20px 2px 0}
dt{color:var(--soft);font-size:13px}dd{margin:0}
section{margin-top:44px}
h2{margin:0 0 4px;font-size:19px;font-weight:650;overflow-wrap:anywhere}
h2 small{font-size:14px;font-weight:400;color:var(--soft);margin-left:4px}
section>p{margin:0 0 12px}
section>p>i{display:inline-block;width:9px;height:9px;border-radius:50%;background:currentColor;margin-right:8px}
figure{margin:14px 0 18px;overflow-x:auto}figure svg{display:block;width:100%;min-width:640px;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:500;color:var(--soft);font-size:13px;padding:6px 12px 6px 0;border-bottom:1px solid var(--line);
white-space:nowrap}
td{padding:7px 12px 7px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere;min-width:64px}td:first-child{min-width:150px}
.n{text-align:right;white-space:nowrap}th:last-child,td:last-child{padding-right:0;white-space:nowrap}
tr.leak td{font-weight:600}tr.leak td:nth-child(4),tr.leak td:nth-child(5){color:var(--bad)}
td:nth-child(2){white-space:nowrap}.key{width:10px;height:10px;margin-right:7px}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}
a{color:inherit;text-decoration-color:var(--soft);text-underline-offset:3px}
details{margin-top:12px;padding:10px 16px;background:var(--card);border-radius:8px}
summary{cursor:pointer;overflow-wrap:anywhere}details p{margin:10px 0 4px;color:var(--soft)}
ol{margin:0 0 8px;padding-left:28px}li{overflow-wrap:anywhere}li::marker{color:var(--soft);font-size:12px}
.note{color:var(--soft);font-size:14px;margin-top:10px}
.measured{border-top:1px solid var(--line);padding-top:26px;color:var(--soft);font-size:14px}.measured h2{font-size:16px;
color:var(--ink);margin-bottom:8px}.measured b{color:var(--ink);font-weight:600}
@media print{body{font-size:11pt}main{max-width:none;padding:0}figure,tr,details,header{break-inside:avoid}
h2{break-after:avoid}.wide{overflow:visible}details::details-content{content-visibility:visible;block-size:auto}h1,.key,figure{print-color-adjust:exact}}";
