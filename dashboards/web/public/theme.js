// Runs before the first paint, so that a chosen theme does not flash the other one.
;(function () {
  try {
    var theme = localStorage.getItem('yellowline.theme')
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
  } catch (error) {
    // Storage is blocked: the system's theme holds.
  }
})()
