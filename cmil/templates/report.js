"use strict";
// The list of patients can be sorted and filtered; without this script it is all there, in order.
const controls = document.querySelector("#controls");
if (controls) {
  const rows = document.querySelector("#patient-rows");
  const stories = document.querySelector("#patient-stories");
  const patients = Array.from(rows.children, (row) => ({
    row,
    story: document.getElementById(row.dataset.story),
    data: row.dataset,
  }));
  const [order, ...filters] = controls.querySelectorAll("select");
  const compare = (a, b, key) =>
    a.data[key].localeCompare(b.data[key], "en", { numeric: key === "place" });

  const update = () => {
    const [key, direction] = order.value.split(" ");
    const sign = direction === "down" ? -1 : 1;
    const sorted = [...patients].sort(
      (a, b) => sign * compare(a, b, key) || compare(a, b, "place"),
    );
    let shown = 0;
    for (const { row, story, data } of sorted) {
      const matches = filters.every((filter) => !filter.value || data[filter.name] === filter.value);
      row.hidden = story.hidden = !matches;
      shown += Number(matches);
      rows.append(row);
      stories.append(story);
    }
    controls.querySelector("output").value = `${shown} of ${patients.length} patients`;
  };

  controls.hidden = false;
  controls.addEventListener("change", update);
  update();
}
