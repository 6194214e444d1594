// Everything begins here.

makeLabels();
pointer();
wheel();
keys();
controls();
comparison();
theme();
new ResizeObserver(resize).observe(frame);
window.addEventListener("beforeprint", draw);
