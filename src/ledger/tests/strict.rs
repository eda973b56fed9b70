//! A power cut, played: of what was written behind the last trip to the disk any sector may be
//! there or not. Whatever was called kept is in the trail after it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::proof::Dice;
use super::*;

const SECTOR: usize = 512;

type Disk = BTreeMap<PathBuf, Vec<u8>>;

fn disk(house: &House) -> Disk {
    let files = std::fs::read_dir(house.folder.path().join("journal")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Each sector as it was carried there, or as it was when the power went.
fn cut(carried: &Disk, house: &House, dice: &mut Dice) {
    for (path, mut now) in disk(house) {
        let Some(before) = carried.get(&path) else { continue };
        for (now, before) in now.chunks_mut(SECTOR).zip(before.chunks(SECTOR)) {
            if now != before && dice.below(2) == 0 {
                now.copy_from_slice(before);
            }
        }
        std::fs::write(&path, now).unwrap();
    }
}

async fn kept(lane: &Lane) -> bool {
    lane.kept().unwrap().on_disk().await
}

#[tokio::test]
async fn what_was_called_kept_outlives_a_power_cut_at_any_moment() {
    let mut dice = Dice(11);
    for _ in 0..25 {
        let house = House { is_strict: true, ..House::new().await };
        let (ledger, lanes) = house.open().await.unwrap();
        let mut acknowledged = Vec::new();
        let mut carried = disk(&house);
        let mut open = Vec::new();
        for number in 0..40 {
            let id = format!("r{number}");
            let lane = &lanes[dice.place(2)];
            let long = format!("/{}", "p".repeat(dice.place(400)));
            let mut record = lane.seat().unwrap().open(&begin(&long, &id));
            record.secret(SECRET, 1);
            record.forwarded(&format!("sent-{number}"));
            record.answered(200, &id, None);
            if dice.below(2) == 0 {
                assert!(kept(lane).await);
                acknowledged.push(id);
                carried = disk(&house);
            }
            // Its body goes on, or is over.
            match dice.below(3) {
                0 => open.push(record),
                _ => record.complete(),
            }
        }
        open.into_iter().for_each(kill);
        drop((ledger, lanes));
        cut(&carried, &house, &mut dice);
        let (trail, bad) = house.judged_after_restart().await;
        assert_eq!(bad, None);
        for id in &acknowledged {
            let found: Vec<_> = trail.iter().filter(|record| &record.request_id == id).collect();
            assert_eq!(found.len(), 1, "{id} of {acknowledged:?}");
            assert_eq!(found[0].status, Some(200));
        }
    }
}

#[tokio::test]
async fn many_who_wait_at_once_are_told_at_once() {
    let house = House { is_strict: true, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..200 {
        call(&lanes[number % 2], "r");
        waiting.push(lanes[number % 2].kept().unwrap());
    }
    for kept in waiting {
        assert!(kept.on_disk().await);
    }
    // Nobody waits where nothing is strict.
    let plain = House::new().await;
    let (_ledger, lanes) = plain.open().await.unwrap();
    assert!(lanes[0].kept().is_none());
    drop(ledger);
}
